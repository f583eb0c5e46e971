"""Too little memory: the micro-batch is halved at the same effective batch, in one process, and only then is it an error."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from autollm.contract import layout
from autollm.errors import OutOfMemoryError
from autollm_runtime.delta import read_delta
from autollm_runtime.train.checkpoints import CheckpointPolicy
from autollm_runtime.train.head import LearnedHead
from autollm_runtime.train.run import Limits, run_train, train_delta
from autollm_runtime.worker.ending import is_out_of_memory
from support.tiny_model import make_tiny_model
from support.training import Bench, sums

MORE_THAN_ANY_MACHINE_HAS = 1 << 48
SETTINGS = {"sft": {"batchSize": 8, "epochs": 2, "learningRate": "1e-2"}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, make_tiny_model(tmp_path / "base"))


def fail_above(monkeypatch: pytest.MonkeyPatch, positions: int, *, after: int = 0) -> None:
    """Ask the allocator for too much whenever more learned positions than these are computed at once, after so many calls."""
    head, calls = LearnedHead.apply, []

    def hungry(hidden: torch.Tensor, *rest: Any) -> Any:
        calls.append(1)
        if len(hidden) > positions and len(calls) > after:
            torch.empty(MORE_THAN_ANY_MACHINE_HAS, dtype=torch.uint8)
        return head(hidden, *rest)

    monkeypatch.setattr(LearnedHead, "apply", hungry)


def factors(bench: Bench, key: str, base: str) -> dict[str, torch.Tensor]:
    delta = read_delta(bench.store, "d", key, base=base, scratch=bench.folder)
    return {name: change.b @ change.a for name, change in delta.low_rank.items()}


@pytest.mark.parametrize("after", [0, 3])
def test_the_micro_batch_is_halved_and_the_delta_stays_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    task = bench.task(sums(20), SETTINGS)
    run_train(task, bench.context("roomy")[0])
    expected = factors(bench, task.spec.key, task.spec.model.digest)
    bench.store.delete(layout.delta_manifest(task.spec.key))
    fail_above(monkeypatch, 6, after=after)
    with caplog.at_level(logging.WARNING):
        train_delta(task, bench.context("tight")[0], Limits(CheckpointPolicy(seconds=0, share=1e9) if after else CheckpointPolicy()))
    said = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert 1 <= len(said) <= 3
    assert "at the same batch size" in said[0]
    # As vectors: Adam makes single numbers whose gradient is nearly zero follow the noise.
    for name, change in factors(bench, task.spec.key, task.spec.model.digest).items():
        assert (change - expected[name]).norm() < 1e-3 * expected[name].norm(), name


def test_a_single_record_that_does_not_fit_is_an_error_with_a_remedy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task = bench.task(sums(8), SETTINGS)
    fail_above(monkeypatch, 0)
    with caplog.at_level(logging.WARNING), pytest.raises(OutOfMemoryError, match=r"data\.maxTokens"):
        run_train(task, bench.context()[0])
    assert "activations computed twice" in caplog.records[-1].getMessage()
    assert bench.store.stat(layout.delta_manifest(task.spec.key)) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried …"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_too_little_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
