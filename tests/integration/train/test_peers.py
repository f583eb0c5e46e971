"""Several processes train the delta of one, and end together: torchrun with two of them on this machine's CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autollm.contract import layout
from autollm.contract.folder import ObjectFolder
from autollm.contract.manifests import DeltaManifest
from autollm.contract.tasks import TrainTask
from autollm_runtime.train.run import run_train
from cluster.waiting import wait_until
from support.tiny_model import make_tiny_model
from support.training import Bench, documents, preferences, sums

TESTS = Path(__file__).parents[2]
LONG = 500
"""Seconds within which anything comes about, however busy the machine is."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, make_tiny_model(tmp_path / "base"))


def sft(bench: Bench) -> TrainTask:
    # Steps of 4, 4 and 3: at times one process has more to do than the other.
    return bench.task(sums(11), {"sft": {"batchSize": 4, "epochs": 2, "learningRate": "1e-2"}})


def dpo(bench: Bench) -> TrainTask:
    # Steps of a single pair: at times a process has nothing to do.
    return bench.task(preferences(3), {"dpo": {"batchSize": 2, "epochs": 2, "learningRate": "1e-3"}})


def pretrain(bench: Bench) -> TrainTask:
    return bench.task(documents(12), {"pretrain": {"batchSize": 2, "epochs": 2, "learningRate": "1e-3"}}, adapter={"full": {}})


def long(bench: Bench, epochs: int) -> TrainTask:
    settings = {"batchSize": 2, "epochs": epochs, "learningRate": "1e-3"}
    return bench.task(sums(16), {"sft": settings}, adapter={"lora": {"rank": 4, "alpha": 8, "dropout": "0.2"}})


class Crew:
    """Two processes of one training, started as a pod starts them."""

    def __init__(self, bench: Bench, task: TrainTask) -> None:
        self._bench = bench
        self._task = task
        self._file = bench.folder / "task.json"
        self._file.write_text(task.model_dump_json(by_alias=True, exclude_none=True))
        self.objects = ObjectFolder(bench.folder / "objects")

    @contextmanager
    def started(self, *program: str) -> Iterator[subprocess.Popen[bytes]]:
        program = program or (str(Path(sys.executable).with_name("autollm-runtime")),)
        places = ["--objects", str(self.objects.root), "--termination", str(self._bench.folder / "end")]
        places += ["--scratch", str(self._bench.folder / "scratch")]
        command = [*program, "train", "--task", str(self._file), *places, "--threads", "1"]
        launcher = [sys.executable, "-m", "autollm_runtime.worker.torchrun", "--standalone", "--nproc-per-node=2", "--"]
        with (self._bench.folder / "log").open("ab") as log:
            environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen([*launcher, *command], env=environment, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def run(self) -> int:
        with self.started() as process:
            return process.wait(LONG)

    def at_work(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the first steps."""
        path = self.objects.root / "deltatrainings" / self._task.training / "progress.json"
        wait_until(lambda: path.exists() or process.poll() is not None, "the training did not begin", seconds=LONG)
        assert path.exists(), self.log

    @property
    def log(self) -> str:
        return (self._bench.folder / "log").read_text()

    @property
    def end(self) -> dict[str, str]:
        document: dict[str, str] = json.loads((self._bench.folder / "end").read_text())
        return document


def trained(bench: Bench, task: TrainTask) -> tuple[DeltaManifest, dict[str, torch.Tensor]]:
    manifest = DeltaManifest.parse(json.loads(bench.store.read(layout.delta_manifest(task.spec.key))))
    tensors: dict[str, torch.Tensor] = {}
    for file in manifest.files:
        if file.name.endswith(".safetensors"):
            path = bench.store.local_path(manifest.prefix + file.name)
            assert path is not None
            tensors |= load_file(path)
    return manifest, tensors


@pytest.mark.parametrize("make", [sft, dpo, pretrain])
def test_two_processes_train_the_delta_of_one(bench: Bench, make: Callable[[Bench], TrainTask]) -> None:
    task = make(bench)
    crew = Crew(bench, task)
    assert crew.run() == 0, crew.log
    ours, tensors = trained(bench, task)
    reported = crew.objects.root / "deltatrainings" / task.training / "delta.json"
    assert json.loads(reported.read_text())["delta"]["key"] == task.spec.key
    assert crew.end == {"reason": "Completed", "message": ""}
    assert "Traceback" not in crew.log
    bench.store.delete(layout.delta_manifest(task.spec.key))
    run_train(task, bench.context("alone")[0])
    alone, expected = trained(bench, task)
    assert tensors.keys() == expected.keys()
    assert any(bool(tensor.any()) for tensor in expected.values())
    for name, tensor in expected.items():  # as vectors: Adam makes single numbers whose gradient is nearly zero follow the noise
        assert (tensors[name] - tensor).norm() <= 1e-3 * tensor.norm(), name
    assert (ours.steps, ours.tokens) == (alone.steps, alone.tokens)
    assert [point.loss for point in ours.curve] == pytest.approx([point.loss for point in alone.curve], abs=1e-5)


@pytest.mark.timeout(1800)
def test_asked_to_stop_they_save_and_the_next_pod_goes_on(bench: Bench) -> None:
    task = long(bench, epochs=5)
    crew = Crew(bench, task)
    with crew.started(sys.executable, "-m", "support.held_training") as process:
        crew.at_work(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143, crew.log
    assert crew.end["reason"] == "Interrupted"
    saved = [key for key in bench.store.list(layout.checkpoint_prefix(task.spec.key)) if key.endswith("manifest.json")]
    assert len(saved) == 1
    step = json.loads(bench.store.read(saved[0]))["trained"]["step"]
    assert 0 < step < 40
    assert crew.run() == 0, crew.log
    ours, tensors = trained(bench, task)
    assert ours.steps == 40
    bench.store.delete(layout.delta_manifest(task.spec.key))
    assert crew.run() == 0, crew.log
    unbroken, expected = trained(bench, task)
    for name, tensor in expected.items():  # dropout too: every process draws the same again
        torch.testing.assert_close(tensors[name], tensor, rtol=1e-4, atol=1e-6)
    assert ours.tokens == unbroken.tokens


def test_a_process_that_is_killed_takes_the_other_along(bench: Bench) -> None:
    crew = Crew(bench, long(bench, epochs=400))
    with crew.started() as process:
        crew.at_work(process)
        (folder,) = (bench.folder / "scratch").glob("tmp*/1.pid")
        os.kill(int(folder.read_text()), signal.SIGKILL)
        assert process.wait(LONG) == 137, crew.log
    assert crew.end["reason"] == "Killed"
    assert "rank 1" in crew.end["message"]


def test_bad_input_ends_all_with_its_code_and_its_words(bench: Bench) -> None:
    crew = Crew(bench, bench.task(sums(8), {"dpo": {}}))
    assert crew.run() == 42, crew.log
    assert crew.end["reason"] == "NoRecords"


def test_gpus_that_no_process_can_use_end_all_before_they_meet(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOLLM_GPUS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1000,1001")  # devices that no machine has
    crew = Crew(bench, sft(bench))
    assert crew.run() == 75, crew.log
    assert crew.end["reason"] == "NoGpu"
    assert "was given 1 of its node's GPUs" in crew.end["message"]
