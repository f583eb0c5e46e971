"""The number format of a run whose document leaves it open: what its deltas are in, else what suits those who train and score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autollm_runtime.model import number_format
from autollm_runtime.prepare import run_prepare
from support.preparing import Preparer, write_rows

GPUS = {"train": {"resources": {"limits": {"nvidia.com/gpu": 1}}}, "evaluate": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}


@pytest.fixture
def spec(preparer: Preparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(number_format, "probe_dtype", lambda device: "Float32")  # a CPU without instructions for bf16, as most have
    rows = ({"prompt": f"Question {number}?", "completion": f"Answer {number}."} for number in range(80))
    made = preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", rows))}])
    return made | {"model": {"uri": str(preparer.model)}}


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_pod_without_gpu_prepares_for_those_with(preparer: Preparer, spec: dict[str, Any], kind: str) -> None:
    assert preparer.run(spec, in_pod=True).prepared.model.dtype == "Float32"
    with_gpus = spec | {"workers": {kind: GPUS[kind]}}
    assert preparer.run(with_gpus, run="other", in_pod=True).prepared.model.dtype == "BFloat16"


def test_on_one_machine_workers_are_not_used(preparer: Preparer, spec: dict[str, Any]) -> None:
    assert preparer.run(spec | {"workers": GPUS}).prepared.model.dtype == "Float32"


def test_a_run_that_gets_gpus_keeps_the_format_of_its_deltas(preparer: Preparer, spec: dict[str, Any]) -> None:
    first = preparer.run(spec, in_pod=True).prepared
    again = preparer.task(spec | {"workers": GPUS}).model_copy(update={"last": first.model})
    run_prepare(again, preparer.context(in_pod=True))
    assert preparer.reported().model.dtype == "Float32"
