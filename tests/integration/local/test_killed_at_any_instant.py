"""Kill any process of a run at any instant, as often as you like: it comes to the same end, and does nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autollm.contract.folder import ObjectFolder
from autollm.resources.run import AutoLLMRun
from support.local_run import write_run
from support.runs import make_run

KILLS = 1000 if os.environ.get("AUTOLLM_SOAK") else 20
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "FAKE_SECONDS": "0.03", "OMP_NUM_THREADS": "1"}


def the_run() -> AutoLLMRun:
    return make_run(
        sources=[{"name": "chats", "file": {"uri": "file:///preference.jsonl"}}, {"name": "math", "file": {"uri": "file:///math.jsonl"}}],
        training={"methods": [{"name": "sft", "sft": {}}, {"name": "dpo", "dpo": {}, "after": "sft"}]},
        search={"trials": 8, "items": 10, "finalists": 2},
        baselines={"trainOnAll": True},
    )


def start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "engine.log").open("ab") as log:
        command = [sys.executable, "-m", "support.local_run", str(folder / "run.json"), str(folder / "run")]
        return subprocess.Popen(command, env=ENVIRONMENT, stderr=log, start_new_session=True)


def final_state(folder: Path) -> dict[str, Any]:
    """All that is left of a run, but for times and for where this one was."""
    objects = ObjectFolder(folder / "run" / "objects")
    (run,) = objects.all("AutoLLMRun")
    for condition in run["status"]["conditions"]:
        del condition["lastTransitionTime"]
    trials = {trial["metadata"]["name"]: (trial["spec"]["weights"], trial["status"]) for trial in objects.all("MergeTrial")}
    deltas = {training["spec"]["delta"]: training["status"]["delta"]["key"] for training in objects.all("DeltaTraining")}
    text = json.dumps({"status": run["status"], "trials": trials, "deltas": deltas}, sort_keys=True).replace(str(folder), "FOLDER")
    state: dict[str, Any] = json.loads(text)
    return state


def done(folder: Path) -> tuple[list[str], list[str]]:
    """Return what was done, in no order, and what a worker was asked for although it was reported."""
    lines = sorted((folder / "artifacts" / "log.txt").read_text().splitlines())
    repeated = [line for line in lines if line.startswith("repeated")]
    return [line for line in lines if line not in repeated], repeated


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Every run has the same path, so that keys and digests, which depend on locations, can be compared.
    return tmp_path_factory.mktemp("runs")


def fresh(folders: Path, name: str) -> Path:
    """Return a folder of a run that has not begun; the former run there moves away."""
    folder = folders / "current"
    if folder.exists():
        folder.rename(folders / name)
    folder.mkdir()
    write_run(folder, the_run())
    for source in folder.glob("*.jsonl"):
        os.utime(source, ns=(0, 0))
    return folder


@pytest.fixture(scope="module")
def unbroken(folders: Path) -> tuple[dict[str, Any], list[str]]:
    folder = fresh(folders, "none")
    assert start(folder).wait() == 0, (folder / "engine.log").read_text()
    work, repeated = done(folder)
    assert repeated == []
    return final_state(folder), work


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # it ended meanwhile
        return []


def kill(process: int) -> bool:
    """Kill it; False where it has ended meanwhile."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_the_same_final_state_and_nothing_done_twice(folders: Path, unbroken: tuple[dict[str, Any], list[str]]) -> None:
    choice = random.Random(7)
    kills = runs = 0
    state, work = unbroken
    while kills < KILLS:
        folder = fresh(folders, f"run-{runs}")
        runs, servers, workers = runs + 1, 0, 0
        engine = start(folder)
        while engine.poll() is None and kills < KILLS:
            try:
                engine.wait(choice.uniform(0.05, 1.2))
            except subprocess.TimeoutExpired:
                kills += 1
                below = children(engine.pid) if choice.random() < 0.5 else []
                at_work = [worker for server in below for worker in children(server)]
                # A trial that two workers were killed on has failed for good, and so has a task after four: one worker a run.
                if at_work and not workers:
                    workers += kill(choice.choice(at_work))
                elif below and servers < 3:
                    servers += kill(choice.choice(below))
                else:
                    kill(engine.pid)
                    engine.wait()
                    engine = start(folder)
        assert engine.wait() == 0, (folder / "engine.log").read_text()
        assert final_state(folder) == state
        again, repeated = done(folder)
        assert again == work
        # One that is killed between its report and its end is started again, and finds its report.
        assert len(repeated) <= servers + workers
