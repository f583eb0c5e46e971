"""Kill any process of a run at any instant, as often as you like: it comes to the same end, and does nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
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


def done(folder: Path) -> list[str]:
    return (folder / "artifacts" / "log.txt").read_text().splitlines()


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
    return final_state(folder), done(folder)


def below(process: int) -> list[int]:
    """Return the processes that a process has started, those that they have started included."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    children = [child for child, parent in parents.items() if parent == process]
    return [*children, *(grandchild for child in children for grandchild in below(child))]


def test_the_same_final_state_and_nothing_done_twice(folders: Path, unbroken: tuple[dict[str, Any], list[str]]) -> None:
    choice = random.Random(7)
    kills = runs = 0
    state, work = unbroken
    while kills < KILLS:
        folder = fresh(folders, f"run-{runs}")
        runs, others = runs + 1, 0
        engine = start(folder)
        while engine.poll() is None and kills < KILLS:
            try:
                engine.wait(choice.uniform(0.05, 1.2))
            except subprocess.TimeoutExpired:
                kills += 1
                # A worker that was killed four times has failed for good, so most of the victims are engines.
                workers = below(engine.pid) if others < 3 and choice.random() < 0.4 else []
                others += bool(workers)
                try:
                    os.kill(choice.choice(workers or [engine.pid]), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                if not workers:
                    engine.wait()
                    engine = start(folder)
        assert engine.wait() == 0, (folder / "engine.log").read_text()
        assert final_state(folder) == state
        assert sorted(done(folder)) == sorted(work)
        assert not [line for line in done(folder) if line.startswith("repeated")]
    assert max(Counter(work).values()) == 1
