"""A run with the real SmolLM2, from `kubectl apply` to a published model, as small as shows that each part of it works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.node import Node
from cluster.store import Store
from support.cluster_place import load_with_transformers, make_place
from support.runs import merged

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart"


@pytest.mark.timeout(1800)
def test_the_quickstart_in_a_cluster(node: Node, store: Store, tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLE / "make_data.py", "--records", "40", "--out", tmp_path], check=True)
    place = make_place(node, store)
    store.put(place.bucket, tmp_path)
    place.apply(_shortened(yaml.safe_load((EXAMPLE / "run.yaml").read_text()), place.bucket))
    condition = place.wait_for_end("quickstart", seconds=1500)
    assert condition["status"] == "True", f"{condition}\n{place.described()}"
    table = {row["name"]: row for row in place.run("quickstart")["status"]["results"]}
    assert set(table) >= {"base", "math/sft", "code/sft", "average", "auto"}
    assert float(table["base"]["versus"]["low"]) > 0
    load_with_transformers(place.revision("quickstart"))


def _shortened(document: dict[str, Any], bucket: str) -> dict[str, Any]:
    """The quickstart with two of its sources, a few steps and trials, and likelihood alone."""
    spec = document["spec"]
    sources = [{"name": name, "file": {"uri": f"s3://{bucket}/{name}.jsonl"}} for name in ("math", "code")]
    methods = [{"name": "sft", "sft": {"learningRate": "1e-3", "batchSize": 8, "maxSteps": 4}}]
    short = {
        "sources": sources,
        "data": {"maxTokens": 128},
        "training": {"methods": methods},
        "evaluation": {"metrics": [{"name": "likelihood", "likelihood": {}}]},
        "search": {"trials": 4, "parallelism": 1, "items": 16, "finalists": 1},
    }
    kept = {key: value for key, value in spec.items() if key not in ("artifacts", "baselines")}
    return document | {"spec": merged(kept, short)}
