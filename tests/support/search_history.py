"""A run of hours in seconds: the real planner and optimiser on made-up workers, and what the real collector tells at every scrape."""

from __future__ import annotations

import math
import random
import time
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from autollm.contract.pod import CONTAINER, TASK_LABEL
from autollm.contract.tasks import TrainTask
from autollm.plan.actions import AskCandidate
from autollm.resources.delta_training import DeltaTrainingStatus
from autollm.resources.facts import Progress, Seconds
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.search import Bayesian, Optimizer
from autollm.store import open_store
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.metrics.exposition import build_registry, expose
from autollm_operator.metrics.process import reconciling, requested, suggested
from autollm_operator.workqueue import WorkQueue
from support.sample_cluster import Document, documents
from support.sample_run import sample_run
from support.sample_workers import SampleWorkers
from support.world import World

TICK = timedelta(seconds=15)
SCRAPES_AFTERWARDS = 20
EVICTED_AT = 10
"""After so many trials an evaluator is moved to another node."""
GPUS: dict[str, Any] = {kind: {"resources": {"limits": {"nvidia.com/gpu": gpus}}} for kind, gpus in (("train", 2), ("evaluate", 1))}
SECONDS = {"Prepare": (120, 121), "Train": (1500, 2400), "Trial": (45, 75), "Publish": (180, 181)}


class Clockwork:
    """A world in which work takes its time: steps of a training follow each other, four trials run side by side."""

    def __init__(self, folder: Path, begin: datetime, **search: Any) -> None:
        run = sample_run(folder / "artifacts", name="support-bot", workers=GPUS, search={"parallelism": 4, **search})
        searched = run.spec.search.model_copy(update={"optimizer": Optimizer(bayesian=Bayesian())})
        run = run.model_copy(update={"spec": run.spec.model_copy(update={"search": searched})})
        self.world = World(run, SampleWorkers(open_store(run.spec.artifacts.uri), lambda text: text))
        self.world.fails = _fails
        self.world.now = begin
        self._rng = random.Random(7)
        self._work: dict[str, tuple[datetime, float]] = {}

    def advance(self) -> bool:
        """Let a tick pass, and what ends in it end; False once the run has come to its end."""
        self.world.now += TICK
        for name in self.world.running():
            begun, seconds = self._work.setdefault(name, (self.world.now, self._seconds(name)))
            passed = (self.world.now - begun).total_seconds()
            if passed >= seconds:
                self._finish(name, seconds)
            else:
                self._report_progress(name, passed / seconds)
        with reconciling("AutoLLMRun"):
            made = self.world.plan()
            for action in made.actions:
                begun_at = time.perf_counter()
                self.world.act(action)
                if isinstance(action, AskCandidate):
                    suggested(time.perf_counter() - begun_at, fallback=False)
        requested("apply", "autollmruns", 200)
        return bool(made.actions or self.world.running())

    def _seconds(self, name: str) -> float:
        return self._rng.uniform(*SECONDS[self.world.tasks[name][0].kind if name in self.world.tasks else "Trial"])

    def _finish(self, name: str, seconds: float) -> None:
        world, now = self.world, self.world.now
        world.finish(name)
        world.now = now
        took = Decimal(f"{seconds:.2f}")
        if name in world.trials and (scored := world.trials[name].status) is not None and scored.seconds is not None:
            status: Any = scored.model_copy(update={"seconds": Seconds(merge=Decimal("0.2"), evaluate=took)})
            world.trials[name] = world.trials[name].model_copy(update={"status": status})
        task = world.tasks[name][0] if name in world.tasks else None
        if isinstance(task, TrainTask):
            trained = world.trainings[task.training].status
            if trained is not None and trained.delta is not None:
                self._report(task, delta=trained.delta.model_copy(update={"seconds": took}))

    def _report_progress(self, name: str, share: float) -> None:
        task = self.world.tasks[name][0] if name in self.world.tasks else None
        if isinstance(task, TrainTask):
            loss = 1.1 + 1.9 * math.exp(-4 * share) + self._rng.gauss(0, 0.03)
            progress = {"step": int(600 * share), "steps": 600, "loss": f"{loss:.4f}", "tokensPerSecond": int(self._rng.gauss(5200, 90))}
            self._report(task, progress=Progress.parse(progress))

    def _report(self, task: TrainTask, **facts: object) -> None:
        training = self.world.trainings[task.training]
        status = (training.status or DeltaTrainingStatus()).model_copy(update=facts)
        self.world.trainings[task.training] = training.model_copy(update={"status": status})


def _fails(work: object) -> Failure | None:
    if isinstance(work, MergeTrial) and work.spec.split == "Search" and work.spec.number in (9, 23):
        return Failure(reason="NonFinite", message="The merged model answers with numbers that are none.")
    return None


def write_history(folder: Path, begin: datetime, **search: Any) -> tuple[Path, datetime]:
    """Write every scrape of a run in the form of OpenMetrics with its time; return the file, and when the last one was."""
    clockwork = Clockwork(folder, begin, **search)
    cache, queue = Cache(), WorkQueue()
    registry = build_registry(cache, queue)
    path = folder / "history.txt"
    going, after = True, 0
    with path.open("w") as file:
        while going or after < SCRAPES_AFTERWARDS:
            going = clockwork.advance()
            after += not going
            for resource, found in _by_resource(clockwork.world).items():
                for key in cache.replace(resource, None, found):
                    queue.add(key)
            body, _ = expose(registry, "")
            if (taken := queue.take(0)) is not None:
                queue.succeeded(taken)
            moment = clockwork.world.now.timestamp()
            file.writelines(f"{line} {moment:.3f}\n" for line in body.decode().splitlines() if line.startswith("autollm_"))
        file.write("# EOF\n")
    return path, clockwork.world.now


def _by_resource(world: World) -> dict[Resource, list[Document]]:
    found: dict[Resource, list[Document]] = {resource: [] for resource in (RUNS, TRAININGS, TRIALS, JOBS, PODS)}
    for resource, document in documents(world, version=int(world.now.timestamp())):
        found[resource].append(document)
    if len(world.trials) >= EVICTED_AT:
        found[PODS] += [_evicted(pod) for pod in found[PODS] if pod["metadata"]["labels"][TASK_LABEL] == "evaluate"][:1]
    return found


def _evicted(pod: Document) -> Document:
    """Return the pod whose place this one took: its node was drained."""
    metadata = pod["metadata"] | {"name": f"{pod['metadata']['name']}-before", "uid": f"{pod['metadata']['uid']}-before"}
    ended = {"exitCode": 143, "reason": "Error", "startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:05:00Z"}
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    containers = [{"name": CONTAINER, "state": {"terminated": ended}}]
    return {**pod, "metadata": metadata, "status": {"phase": "Failed", "conditions": [disrupted], "containerStatuses": containers}}
