"""A training that is stopped or killed goes on from its checkpoint and ends with the delta of an unbroken one."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DeltaManifest
from autollm.contract.tasks import TrainTask
from autollm.errors import Interrupted
from autollm_runtime.delta.adapter import ADAPTER_WEIGHTS
from autollm_runtime.train.checkpoints import Checkpoint, CheckpointPolicy, Checkpoints
from autollm_runtime.train.run import Limits, run_train, train_delta
from support.tiny_model import make_tiny_model
from support.training import Bench, documents, preferences, sums

TESTS = Path(__file__).parents[2]
DROPOUT: dict[str, Any] = {"lora": {"rank": 4, "alpha": 8, "dropout": "0.3"}}
FULL: dict[str, Any] = {"full": {}}


@dataclass(frozen=True)
class ThenStop(CheckpointPolicy):
    """Save after every step, and ask for a stop while one of them is taken."""

    stop: threading.Event | None = None
    steps: int = 3

    def due(self, since_last: float, cost: float) -> bool:
        assert self.stop is not None
        self.asked.append(1)
        if len(self.asked) == self.steps:
            self.stop.set()
        return True

    @property
    def asked(self) -> list[int]:
        return _ASKED


_ASKED: list[int] = []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, make_tiny_model(tmp_path / "base"))


def sft(bench: Bench) -> TrainTask:
    return bench.task(sums(24), {"sft": {"batchSize": 3, "epochs": 2, "learningRate": "1e-2"}}, adapter=DROPOUT)


def dpo_after_sft(bench: Bench) -> TrainTask:
    first = bench.task(sums(), {"sft": {"learningRate": "1e-2"}})
    if bench.store.stat(layout.delta_manifest(first.spec.key)) is None:
        run_train(first, bench.context("first")[0])
    method = {"dpo": {"batchSize": 2, "epochs": 3, "learningRate": "1e-3"}, "after": "x"}
    return bench.task(preferences(10), method, start=first.spec.key)


def pretrain_full(bench: Bench) -> TrainTask:
    return bench.task(documents(24), {"pretrain": {"batchSize": 1, "epochs": 2, "learningRate": "1e-3"}}, adapter=FULL)


def trained(bench: Bench, task: TrainTask) -> tuple[DeltaManifest, dict[str, torch.Tensor]]:
    manifest = DeltaManifest.parse(json.loads(bench.store.read(layout.delta_manifest(task.spec.key))))
    tensors: dict[str, torch.Tensor] = {}
    for file in manifest.files:
        if file.name.endswith(".safetensors"):
            path = bench.store.local_path(manifest.prefix + file.name)
            assert path is not None
            tensors |= load_file(path)
    return manifest, tensors


class RunsCode:
    """What makes a file as soon as it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._proof,)


def poison(bench: Bench, key: str, name: str, content: bytes) -> None:
    """Put a file into the checkpoint of a training, in place of one of that stem, with the digest that it has."""
    place = next(found for found in bench.store.list(layout.checkpoint_prefix(key)) if found.endswith("manifest.json"))
    manifest = json.loads(bench.store.read(place))
    kept = [file for file in manifest["files"] if Path(file["name"]).stem != Path(name).stem]
    assert len(kept) == len(manifest["files"]) - 1, f"no checkpoint has a {name}"
    bench.store.delete(manifest["prefix"] + name)
    bench.store.write(manifest["prefix"] + name, content)
    manifest["files"] = [*kept, {"name": name, "digest": digest_bytes(content), "size": len(content)}]
    bench.store.write(place, json.dumps(manifest).encode())


def saved(content: object) -> bytes:
    """As PyTorch writes it: a ZIP file with a pickle in it."""
    written = io.BytesIO()
    torch.save(content, written)
    return written.getvalue()


def test_a_checkpoint_that_is_replaced_while_it_is_fetched_is_not_lost(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod before may still be at work on its last one when the next begins: it was deleted with its run, which was applied again."""
    task, seen = sft(bench), []
    for steps in (1, 2):
        _ASKED.clear()
        stop = threading.Event()
        with pytest.raises(Interrupted):
            train_delta(task, bench.context(str(steps), stop)[0], Limits(ThenStop(stop=stop, steps=steps)))
        seen.append(Checkpoints(bench.store, task.spec.key, tmp_path / "look").newest())
    first, last = seen
    assert last is not None

    class BeginsBehind(Checkpoints):
        def newest(self) -> Checkpoint | None:
            return seen.pop(0) if seen else super().newest()

    seen[:] = [first]
    monkeypatch.setattr("autollm_runtime.train.run.Checkpoints", BeginsBehind)
    context, reports = bench.context("three")
    run_train(task, context)
    assert next(iter(reports.heard)).step == last.trained.step + 1


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.bin"])
@pytest.mark.parametrize("form", [pickle.dumps, saved], ids=["a pickle", "as PyTorch writes it"])
def test_code_in_a_checkpoint_is_not_run(bench: Bench, tmp_path: Path, name: str, form: Callable[[object], bytes]) -> None:
    """Whoever can write to the bucket can give it any digest: the training begins anew, and the code stays bytes."""
    task, stop, proof = sft(bench), threading.Event(), tmp_path / "proof"
    _ASKED.clear()
    with pytest.raises(Interrupted):
        train_delta(task, bench.context("one", stop)[0], Limits(ThenStop(stop=stop, steps=1)))
    content = form({"state": RunsCode(proof)})
    pickle.loads(pickle.dumps(RunsCode(proof)))
    assert proof.exists(), "unpickled, it does run"
    proof.unlink()
    poison(bench, task.spec.key, name, content)
    context, reports = bench.context("two")
    run_train(task, context)
    assert not proof.exists()
    assert reports.delta is not None
    assert next(iter(reports.heard)).step == 1


def assert_like_unbroken(bench: Bench, task: TrainTask, tmp_path: Path) -> None:
    """Compare a resumed training with one that was never stopped, in artifacts of its own."""
    resumed, tensors = trained(bench, task)
    bench.store.delete(layout.delta_manifest(task.spec.key))
    run_train(task, bench.context("unbroken")[0])
    unbroken, expected = trained(bench, task)
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=1e-5, atol=1e-7)
    assert [point.step for point in resumed.curve] == [point.step for point in unbroken.curve]
    assert [point.loss for point in resumed.curve] == pytest.approx([point.loss for point in unbroken.curve], abs=2e-6)
    assert resumed.tokens == unbroken.tokens


@pytest.mark.parametrize("make", [sft, dpo_after_sft, pretrain_full])
def test_a_stop_saves_and_the_rest_is_done_later(bench: Bench, tmp_path: Path, make: Callable[[Bench], TrainTask]) -> None:
    task = make(bench)
    stop = threading.Event()
    _ASKED.clear()
    context, reports = bench.context("one", stop)
    with pytest.raises(Interrupted):
        train_delta(task, context, Limits(ThenStop(stop=stop)))
    assert reports.delta is None
    kept = Checkpoints(bench.store, task.spec.key, tmp_path / "look").latest()
    assert kept is not None
    assert kept[1].step == 4  # asked while the third step was taken, heeded at the end of the next
    assert len(kept[1].curve) == 4
    # Elsewhere: nothing but the artifacts is left.
    context, reports = bench.context("two")
    run_train(task, context)
    assert reports.delta is not None
    assert next(iter(reports.heard)).step >= 5
    assert list(bench.store.list(layout.checkpoint_prefix(task.spec.key))) == []
    assert_like_unbroken(bench, task, tmp_path)


@pytest.mark.parametrize(("make", "number"), [(sft, signal.SIGTERM), (dpo_after_sft, signal.SIGKILL)])
def test_a_killed_training_ends_like_an_unbroken_one(
    bench: Bench, tmp_path: Path, make: Callable[[Bench], TrainTask], number: signal.Signals
) -> None:
    task = make(bench)
    file = tmp_path / "task.json"
    file.write_text(task.model_dump_json(by_alias=True, exclude_none=True))
    (tmp_path / "killed").mkdir()
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "support.killed_training", str(file), str(tmp_path / "killed")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == "step\n"
        process.send_signal(number)
        code = process.wait(timeout=500)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    assert bench.store.stat(layout.delta_manifest(task.spec.key)) is None
    kept = Checkpoints(bench.store, task.spec.key, tmp_path / "look").latest()
    assert kept is not None
    assert 3 <= kept[1].step < 15
    context, reports = bench.context("two")
    run_train(task, context)
    assert next(iter(reports.heard)).step == kept[1].step + 1
    assert_like_unbroken(bench, task, tmp_path)


def test_a_damaged_checkpoint_starts_the_training_again(bench: Bench, tmp_path: Path) -> None:
    task = sft(bench)
    stop = threading.Event()
    _ASKED.clear()
    with pytest.raises(Interrupted):
        train_delta(task, bench.context("one", stop)[0], Limits(ThenStop(stop=stop)))
    for key in bench.store.list(layout.checkpoint_prefix(task.spec.key)):
        if key.endswith("optimizer.pt"):
            bench.store.write(key, b"damaged")
    context, reports = bench.context("two")
    run_train(task, context)
    assert next(iter(reports.heard)).step == 1
    assert_like_unbroken(bench, task, tmp_path)


def test_a_delta_one_of_whose_files_is_gone_is_trained_again(bench: Bench) -> None:
    task = sft(bench)
    run_train(task, bench.context("one")[0])
    before, expected = trained(bench, task)
    bench.store.delete(before.prefix + ADAPTER_WEIGHTS)
    context, reports = bench.context("two")
    run_train(task, context)
    assert reports.delta is not None
    after, tensors = trained(bench, task)
    assert after.prefix != before.prefix
    assert tensors.keys() == expected.keys()


def test_a_task_that_is_stopped_before_it_starts_does_nothing(bench: Bench) -> None:
    stop = threading.Event()
    stop.set()
    task = sft(bench)
    with pytest.raises(Interrupted):
        run_train(task, bench.context("one", stop)[0])
    assert list(bench.store.list(layout.checkpoint_prefix(task.spec.key))) == []
