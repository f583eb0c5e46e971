"""The commands of a page, carried out as a reader does: one line after the other in one folder, against one cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster.helm import helm

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"


def blocks(page: Path, language: str) -> list[str]:
    """Return what stands between the fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Return the lines of all `sh` blocks; what stands in `console` blocks needs what is not here."""
    return [line for lines in sections(page).values() for line in lines]


def sections(page: Path) -> dict[str, list[str]]:
    """Return the lines of the `sh` blocks below each heading, in the order of the page."""
    found: dict[str, list[str]] = {}
    heading = language = ""
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            language = "" if language else line.removeprefix("```") or "text"
        elif language:
            if language == "sh":
                found.setdefault(heading, []).append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return found


@dataclass(frozen=True)
class Reader:
    """Somebody who has this repository, helm, kubectl, `autollm` and a cluster, and no credentials of any cloud."""

    folder: Path
    kubeconfig: Path

    def __post_init__(self) -> None:
        for link in ("charts", "examples"):
            (self.folder / link).symlink_to(ROOT / link)

    def run(self, command: str, *, seconds: float = 120.0) -> str:
        """Carry out one line and return what it prints; raises AssertionError with what it complains of where it fails."""
        path = os.pathsep.join([str(Path(sys.executable).parent), str(helm().parent), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = kept | {"KUBECONFIG": str(self.kubeconfig), "PATH": path, "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(
            ["sh", "-euc", command], cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout
