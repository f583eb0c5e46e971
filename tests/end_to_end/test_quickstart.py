"""The quickstart's document with the real language model, with fewer steps and trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.tiny_run import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"


@pytest.mark.timeout(1500)
def test_the_quickstart_in_short(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLE / "make_data.py", "--records", "40", "--out", tmp_path / "data"], check=True)
    document: dict[str, Any] = yaml.safe_load((EXAMPLE / "run.yaml").read_text())
    spec = document["spec"]
    spec["artifacts"]["uri"] = "artifacts"
    for method in spec["training"]["methods"]:
        next(value for key, value in method.items() if key in {"sft", "dpo"})["maxSteps"] = 2
    spec["search"] |= {"trials": 4, "items": 24, "finalists": 1, "stop": {"withoutImprovement": 4}}
    next(metric for metric in spec["evaluation"]["metrics"] if "match" in metric)["match"]["maxTokens"] = 16
    (tmp_path / "run.yaml").write_text(json.dumps(document))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command("run", "run.yaml"), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    rows = {row["name"]: row for row in json.loads((tmp_path / "runs" / "quickstart" / "results.json").read_text())["results"]}
    assert set(rows) >= {"base", "math/sft", "code/sft", "following/sft", "generation/sft", "following/dpo", "average", "auto"}
    assert rows["auto"]["versus"] is None or rows["auto"]["versus"]["difference"] == 0
    assert rows["base"]["versus"]["low"] > 0
    assert (tmp_path / "artifacts" / "revisions" / "r1" / "model.safetensors").exists()
