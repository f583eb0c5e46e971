"""Nobody is told to install `autollm` by its bare name: on PyPI another project has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOLD = ("autollm", "operator", "runtime", "charts", "images", "examples", "docs", "README.md", "pyproject.toml", "Makefile")
KINDS = {".py", ".md", ".txt", ".yaml", ".toml", ".tpl", ""}
BARE_NAME = re.compile(r"autollm\[|\binstall (?:-\S+ )*['\"]?autollm(?=$|[\s'\"`=<>~;,.)])(?! charts/)")


def texts() -> list[Path]:
    """Return what people read, and the code whose messages they read."""
    found = [path for name in TOLD for path in ([ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*")))]
    return [path for path in found if path.is_file() and path.suffix in KINDS and "__pycache__" not in path.parts]


def test_what_is_installed_is_this_project() -> None:
    read = texts()
    assert {ROOT / "docs/how-to/look.md", ROOT / "autollm/cli/place.py", ROOT / "README.md", ROOT / "images/runtime/Dockerfile"} <= set(
        read
    )
    found = {str(path.relative_to(ROOT)): BARE_NAME.findall(path.read_text(encoding="utf-8", errors="replace")) for path in read}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line", ["pip install 'autollm[operator]'", "pip install autollm", "uv pip install --quiet autollm==0.1.0", 'f"autollm[{extra}]"']
)
def test_the_bare_name_is_found(line: str) -> None:
    assert BARE_NAME.search(line)


@pytest.mark.parametrize(
    "line", ["pip install '.[operator]'", "helm install autollm charts/autollm --namespace team-a", "install autollm-operator"]
)
def test_what_installs_this_project_is_not(line: str) -> None:
    assert not BARE_NAME.search(line)
