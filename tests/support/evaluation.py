"""A small landscape to evaluate: a tiny base, two adapters, items of two sources in a store of files, and trials of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.folder import ObjectFolder
from autollm.contract.keys import landscape_digest
from autollm.contract.manifests import DeltaManifest
from autollm.contract.tasks import EvaluateTask
from autollm.resources.merge_trial import MergeTrial
from autollm.store import Store, open_store
from support.adapters import write_adapter
from support.tiny_model import make_tiny_model

LIKELIHOOD: Mapping[str, Any] = {"name": "likelihood", "likelihood": {}}


@dataclass(frozen=True)
class Landscape:
    """Everything an evaluator reads, and the objects it reports to; `base` is the folder of the base model."""

    task: EvaluateTask
    base: Path
    store: Store
    objects: ObjectFolder

    def trial(self, name: str, weights: Mapping[str, Any] | None = None, **spec: Any) -> MergeTrial:
        """Return a trial of this landscape and write it down, as the planner does."""
        document = {
            "apiVersion": "autollm.dev/v1alpha1",
            "kind": "MergeTrial",
            "metadata": {"name": name},
            "spec": {
                "run": self.task.run,
                "landscape": self.digest(spec.get("split", "Search"), spec.get("items")),
                "split": "Search",
                "weights": weights or {},
                "number": 0,
                "slot": self.task.slot,
                "origin": {"optimizer": "Start"},
            }
            | spec,
        }
        self.objects.create("MergeTrial", name, document)
        return MergeTrial.parse(document)

    def digest(self, split: str, items: int | None) -> str:
        """Return the digest of the landscape, as the planner computes it."""
        fact = self.task.search if split == "Search" else self.task.test
        return landscape_digest(
            base=self.task.model.digest,
            dtype=self.task.model.dtype,
            deltas={delta.name: delta.key for delta in self.task.deltas},
            items=fact.digest,
            sample=items,
            metrics=self.task.metrics,
            max_tokens=self.task.max_tokens,
        )

    def outcome(self, name: str) -> dict[str, Any]:
        """Return what was reported on a trial."""
        document = self.objects.read("MergeTrial", name) or {}
        status: dict[str, Any] = document.get("status", {})
        return status


def make_landscape(root: Path, metrics: Sequence[Mapping[str, Any]] = (LIKELIHOOD,), **changes: Any) -> Landscape:
    """Make a landscape with the deltas `math/sft` and `code/sft`; `changes` replace fields of the task."""
    from autollm_runtime.delta import publish_delta
    from autollm_runtime.model.folder import inspect_folder

    store = open_store(str(root / "artifacts"))
    base = make_tiny_model(root / "base", seed=1)
    digest = inspect_folder(base, "base").digest()
    deltas = []
    for seed, name in enumerate(("math/sft", "code/sft"), start=1):
        key = digest_bytes(name.encode())
        shapes = {f"model.layers.{layer}.self_attn.q_proj": (32, 32) for layer in range(2)}
        folder = write_adapter(root / "adapters" / str(seed), shapes | {"model.layers.1.mlp.down_proj": (32, 64)}, rank=4, seed=seed)
        manifest = DeltaManifest(key=key, form="Lora", base=digest, dtype="Float32", prefix="", files=[])
        publish_delta(store, key, folder, manifest)
        deltas.append({"name": name, "key": key})
    document = {
        "id": "evaluate",
        "run": "demo",
        "slot": 0,
        "model": {"uri": str(base), "digest": digest, "dtype": "Float32"},
        "deltas": deltas,
        "search": _items(store, "search", 12),
        "test": _items(store, "test", 9),
        "metrics": list(metrics),
        "maxTokens": 256,
        "artifacts": {"uri": str(root / "artifacts")},
    }
    return Landscape(EvaluateTask.parse(document | changes), base, store, ObjectFolder(root / "objects"))


def _items(store: Store, split: str, count: int) -> dict[str, Any]:
    records = []
    for number in range(count):
        record: dict[str, Any] = {"id": digest_bytes(f"{split}{number}".encode()), "origin": f"{split}{number}"}
        question = [{"role": "user", "content": f"{split} question {number * 37 % 101}"}]
        if number % 3:
            record |= {"source": "chats", "messages": [*question, {"role": "assistant", "content": f"the answer is {number * 7}"}]}
        else:
            record |= {"source": "pairs", "prompt": question, "chosen": f"yes {number}", "rejected": f"certainly not {number}"}
        records.append(record)
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    digest = digest_bytes(data)
    store.write(layout.records(digest), data)
    return {"digest": digest, "count": count}
