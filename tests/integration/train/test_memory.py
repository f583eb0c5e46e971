"""Too little memory: the micro-batch is halved at the same effective batch, in one process, and only then is it an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autollm_runtime.train.memory import is_out_of_memory

TESTS = Path(__file__).parents[2]

# The address space may grow by a little more than the smallest micro-batch needs; the records are long and the batch is large.
LIMITED = """
import logging, resource, sys
from pathlib import Path
import torch
from autollm.errors import OutOfMemoryError
from autollm.contract.manifests import Record
from autollm_runtime.train.checkpoints import CheckpointPolicy
from autollm_runtime.train.run import Limits, run_train, train_delta
from autollm_runtime.train.schedule import MicroBatches
from support.tiny_model import make_tiny_model
from support.training import Bench

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
torch.set_num_threads(1)
folder, more = Path(sys.argv[1]), int(sys.argv[2]) << 20
bench = Bench(folder, make_tiny_model(folder / "base"))

def task(count):
    records = [Record(id=str(i), source="s", origin=str(i), text="x" * 500) for i in range(count)]
    return bench.task(records, {"pretrain": {"batchSize": count}}, max_tokens=512)

warm = task(1)
run_train(warm, bench.context("warm")[0])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
context, reports = bench.context()
try:
    train_delta(task(64), context, Limits(CheckpointPolicy(), MicroBatches(64 * 512)))
    print("trained", reports.delta.tokens)
except OutOfMemoryError as error:
    print("refused", error)
"""


def limited(tmp_path: Path, megabytes: int) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(megabytes)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=200).stdout.splitlines()


def test_the_micro_batch_is_halved_until_it_fits(tmp_path: Path) -> None:
    lines = limited(tmp_path, 500)
    halved = [line for line in lines if line.startswith("out of memory")]
    assert halved
    assert "trying 16032" in halved[0]
    assert lines[-1] == f"trained {64 * 501}"


def test_a_single_record_that_does_not_fit_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    lines = limited(tmp_path, 16)
    assert lines[-1].startswith("refused training s/m needs more memory than there is")
    assert "computed twice" in lines[-2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried …"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_too_little_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
