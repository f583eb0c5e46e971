"""Run documents for tests: short, and changed by a few words."""

from __future__ import annotations

from typing import Any

from autollm.resources.metadata import Metadata
from autollm.resources.run import AutoLLMRun, RunSpec

SPEC: dict[str, Any] = {
    "model": {"uri": "file:///models/tiny"},
    "artifacts": {"uri": "file:///artifacts"},
    "sources": [{"name": "math", "file": {"uri": "file:///math.jsonl"}}, {"name": "code", "file": {"uri": "file:///code.jsonl"}}],
    "training": {"methods": [{"name": "sft", "sft": {}}]},
    "search": {"trials": 4, "optimizer": {"random": {}}},
}


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a document with changes: mappings are merged, everything else is replaced."""
    result = dict(document)
    for name, value in changes.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def make_run(name: str = "demo", generation: int = 1, **changes: Any) -> AutoLLMRun:
    """Return a run of two sources and one method, with changes to its spec in the words of the document."""
    return AutoLLMRun(metadata=Metadata(name=name, generation=generation), spec=RunSpec.parse(merged(SPEC, changes)))
