"""Workers on a real kubelet that run out of memory, are killed or drained, or lose their store: the run goes on, and repeats nothing."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from support.cluster_place import Place
from support.pod_ends import PodEnds
from support.run_on_node import RunOnNode
from support.store_faults import away, hanging, refusing_writes

pytestmark = pytest.mark.timeout(1800)

TOO_SMALL = {"resources": {"requests": {"memory": "48Mi"}, "limits": {"memory": "48Mi"}}}
"""The worker's libraries alone take more."""

TRIALS = 100
"""Enough that evaluators are in the middle of them whenever they are looked for."""

ONCE, NEVER = {"retries": 1}, {"retries": 0}
EVICTED = "EvictionByEvictionAPI"


def test_trainings_and_trials_outlive_the_pods_that_do_them(tiny_place: Place) -> None:
    """Memory is too small for the trainings; one is killed and one drained, then the evaluators drained and the operator killed."""
    run = RunOnNode(tiny_place, "faults")
    with PodEnds(tiny_place.node.cluster.admin, tiny_place.namespace) as ends:
        run.apply(TRIALS, train=NEVER | TOO_SMALL)
        assert "workers.train.resources.limits.memory" in run.until_stalled("TrainingFailed")
        run.until(lambda: len(ends.of(run.name, "train")) == 2, "not both trainings have failed")
        failed = ends.of(run.name, "train")
        assert {(end.exit_code, end.because) for end in failed} == {(ExitCode.KILLED, "OOMKilled")}

        # A pod that is drained takes up no retry.
        run.apply(TRIALS, train=ONCE, evaluate=NEVER)
        (_, trainer), (drained, leaver) = run.catch_trainings(2).items()
        run.evict(leaver)
        run.until(lambda: run.is_asked_to_end(leaver), "the kubelet does not end it")
        run.signal([leaver], signal.SIGCONT)
        run.signal([trainer], signal.SIGKILL)
        run.until(lambda: ExitCode.STOPPED in ends.codes(run.name, "train"), "none has saved and stopped")
        saved, told = run.saved_step(drained), run.step(drained)
        run.until(lambda: run.step(drained) != told, "what was saved is not taken up")
        assert run.step(drained) > saved > 0
        with hanging(tiny_place):
            run.until(lambda: run.step(drained) > told, "it does not go on without the store")

        evaluators = run.catch_evaluators(2)
        finished = run.finished()
        stopped, hung = evaluators
        run.evict(stopped)
        run.evict(hung, gracePeriodSeconds=1)  # as the operator does with one that hangs
        kill_operator(tiny_place, run)
        run.signal([stopped], signal.SIGCONT)
        run.wait_published(trials=TRIALS)

        assert finished.items() <= run.finished().items()
        trained = Counter((end.exit_code, end.because, end.disruption) for end in ends.of(run.name, "train") if end not in failed)
        assert trained == {(ExitCode.KILLED, "Error", ""): 1, (ExitCode.STOPPED, "Error", EVICTED): 1, (ExitCode.DONE, "Completed", ""): 2}
        drained_codes = {end.exit_code for end in ends.of(run.name, "evaluate") if end.disruption == EVICTED}
        assert drained_codes == {ExitCode.STOPPED, ExitCode.KILLED}
        # The place's later runs find the model in use already where they come to the same one.
        run.until(lambda: ends.codes(run.name, "publish") == [0], "the model was not published once")
        assert ends.codes(run.name, "prepare") == [0]


def test_evaluators_get_the_memory_that_the_run_says_they_lack(tiny_place: Place) -> None:
    run = RunOnNode(tiny_place, "small")
    with PodEnds(tiny_place.node.cluster.admin, tiny_place.namespace) as ends:
        run.apply(4, evaluate=NEVER | TOO_SMALL)
        assert "workers.evaluate.resources.limits.memory" in run.until_stalled("OOMKilled")
        assert "OOMKilled" in {end.because for end in ends.of(run.name, "evaluate")}
        finished = run.finished()
        run.apply(4)
        run.wait_published(trials=4)
        assert finished.items() <= run.finished().items()


def test_work_outlives_a_store_that_hangs_is_away_or_takes_no_writes(tiny_place: Place) -> None:
    run = RunOnNode(tiny_place, "store", learning_rate="3e-3")
    with PodEnds(tiny_place.node.cluster.admin, tiny_place.namespace) as ends:
        run.apply(TRIALS)
        refuse_writes(run, ends, "train", [*run.catch_trainings(2).values()])
        for fault in (hanging, away):
            evaluators = run.catch_evaluators(2)
            finished = run.finished()
            with fault(tiny_place):
                run.signal(evaluators, signal.SIGCONT)
        evaluators = run.catch_evaluators(2)
        assert not ends.of(run.name, "evaluate"), "an evaluator did not wait"
        finished = run.finished()
        refuse_writes(run, ends, "evaluate", evaluators)
        run.wait_published(trials=TRIALS)

        assert finished.items() <= run.finished().items()
        assert Counter(ends.codes(run.name, "train"))[ExitCode.DONE] == 2
        for task in ("train", "evaluate"):
            assert set(ends.codes(run.name, task)) <= {ExitCode.DONE, ExitCode.STOPPED, ExitCode.TEMPORARY}


def refuse_writes(run: RunOnNode, ends: PodEnds, task: str, pods: list[dict[str, Any]]) -> None:
    """Let pods that stand still go on while the store refuses what they write: for a while, which they wait for, then for want of room."""
    finished, began = run.finished(), time.time_ns()
    with refusing_writes(run.place, 503) as refusals:
        run.signal(pods, signal.SIGCONT)
        run.until(lambda: refusals.count(503) > 2, "nothing is written")
        assert not ends.of(run.name, task), "it did not wait"
        refusals.answer(507)
        run.until(lambda: ExitCode.TEMPORARY in ends.codes(run.name, task), "what is refused for want of room ends no worker")
        assert finished.items() <= run.finished().items()
        # One that stood still between its results and its report has reported what the store had taken before.
        assert run.last_written() < began


def kill_operator(place: Place, run: RunOnNode) -> None:
    """Kill the operator in its pod and wait for the one that the kubelet starts in its place."""

    def container() -> dict[str, Any]:
        (status,) = operator()["status"]["containerStatuses"]
        return dict(status)

    def operator() -> dict[str, Any]:
        found = place.node.cluster.kubectl("get", "pods", "-n", place.namespace, "-l", "app.kubernetes.io/name=autollm", "-o", "json")
        pod: dict[str, Any] = json.loads(found)["items"][0]
        return pod

    before = container()["restartCount"]
    run.signal([operator()], signal.SIGKILL)
    run.until(lambda: container()["restartCount"] > before and container()["ready"], "the operator is not back")
