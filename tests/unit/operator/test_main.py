"""The operator's program before it reaches a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_its_first_line_tells_its_version(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from autollm_operator.main import main; main()", "--settings", str(tmp_path / "none.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stderr.splitlines()[0])["version"] == version("autollm")
