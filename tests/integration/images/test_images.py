"""What the images install and start, where no engine can build them: their build stage below a folder, and then their programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.dockerfile import ROOT, build

OPERATOR_MEGABYTES = 145
"""Compressed, as a layer is; the base image takes 45 to 50 of the 200."""


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT / "images" / "operator" / "Dockerfile", tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without its bytecode, which takes a minute and is made as the operator's."""
    return build(ROOT / "images" / "runtime" / "Dockerfile", tmp_path_factory.mktemp("runtime"), until="compileall")


def started(prefix: Path, *command: str) -> str:
    """Run a program of the image as the image does: nothing of this environment, and no other Python packages."""
    environment = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_operator_starts_without_pytorch(operator: Path) -> None:
    assert "--settings" in started(operator, "autollm-operator", "--help")
    found = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'triton') if u.find_spec(n)])"
    assert started(operator, "python", "-c", found).strip() == "[]"
    assert "validate" in started(operator, "autollm", "--help")


def test_the_operator_validates_a_run(operator: Path) -> None:
    started(operator, "autollm", "validate", str(ROOT / "examples" / "quickstart" / "run.yaml"))


def test_the_operator_is_small(operator: Path) -> None:
    size = subprocess.run(["sh", "-c", 'tar -C "$0" -cf - . | gzip -6 | wc -c', operator], check=True, capture_output=True, text=True)
    assert int(size.stdout) < OPERATOR_MEGABYTES * 10**6


def test_its_files_have_one_time_and_their_bytecode(operator: Path) -> None:
    assert {path.lstat().st_mtime for path in operator.rglob("*")} == {0.0}
    package = next(operator.glob("lib/python3.*/site-packages/autollm_operator"))
    compiled = (package / "__pycache__").glob("settings.*.pyc")
    flags = int.from_bytes(next(compiled).read_bytes()[4:8], "little")
    assert flags == 0b01  # by hash, and not checked at each start


def test_workers_start_with_pytorch_and_without_the_operators_libraries(runtime: Path) -> None:
    assert "evaluate" in started(runtime, "autollm-runtime", "--help")
    started(runtime, "python", "-c", "import torch, transformers, peft, trl; torch.zeros(2).sum()")
    found = "import importlib.util as u; print(u.find_spec('kopf'), u.find_spec('kubernetes') is not None)"
    assert started(runtime, "python", "-c", found).strip() == "None True"
