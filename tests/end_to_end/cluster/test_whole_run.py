"""From `kubectl apply` to a published model, on a real kubelet: the operator as a pod, workers as Jobs in restricted pods."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.node import Node
from cluster.store import Store
from support.cluster_place import Place, make_place
from support.runs import merged
from support.tiny_run import DOCUMENT, environment, write_tiny_run

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def place(node: Node, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where a run with a tiny model has come to its end."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_run(folder)
    place = make_place(node, store)
    store.put(place.bucket, folder)
    place.apply(tiny_run(place))
    condition = place.wait_for_end("tiny", seconds=900)
    assert condition["status"] == "True", f"{condition}\n{place.described()}"
    return place


def tiny_run(place: Place, **changes: Any) -> dict[str, Any]:
    at = f"s3://{place.bucket}"
    sources = [{"name": name, "file": {"uri": f"{at}/{name}.jsonl"}} for name in ("count", "echo")]
    spec = {key: value for key, value in DOCUMENT["spec"].items() if key != "artifacts"}
    spec = merged(spec, {"model": {"uri": f"{at}/model"}, "sources": sources, "search": {"parallelism": 2}})
    return DOCUMENT | {"spec": merged(spec, changes)}


def test_the_winner_is_published_and_loads_with_nothing_of_ours(place: Place) -> None:
    status = place.run("tiny")["status"]
    table = {row["name"]: row for row in status["results"]}
    assert set(table) >= {"base", "count/sft", "echo/sft", "average", "auto"}
    revision = place.store.folder / place.bucket / "artifacts" / "revisions" / status["published"]["revision"]
    _load(revision)


def _load(folder: Path) -> None:
    program = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
asked = [{"role": "user", "content": "w007"}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
assert torch.isfinite(model(ids).logits).all()
assert not [name for name in sys.modules if name.startswith("autollm")]
"""
    subprocess.run([sys.executable, "-c", program, folder], check=True, env=environment())
