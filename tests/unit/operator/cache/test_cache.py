"""What the cache keeps, and who is looked at because of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from support import synthetic
from support.job_tasks import train_task
from support.kubernetes_objects import Document, job, pod
from support.runs import make_run

RUN = Key("AutoLLMRun", "team-a", "demo")
OF_RUN = {"kind": "AutoLLMRun", "name": "demo", "uid": "run-uid", "controller": True}


def run_document(version: int = 1, uid: str = "run-uid", **changes: Any) -> Document:
    document = make_run().document()
    return (
        document
        | {"metadata": {"name": "demo", "namespace": "team-a", "uid": uid, "resourceVersion": str(version), "generation": 1}}
        | changes
    )


def child(name: str, version: int = 1, owner: Document | None = OF_RUN, **parts: Any) -> Document:
    metadata = {"name": name, "namespace": "team-a", "uid": f"{name}-uid", "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata | ({"ownerReferences": [owner]} if owner else {}), **parts}


def trial_document(name: str = "demo-t", version: int = 1, owner: Document | None = OF_RUN, **status: Any) -> Document:
    spec = {
        "run": "demo",
        "landscape": f"sha256:{'0' * 64}",
        "split": "Search",
        "weights": {"math/sft": "0.5"},
        "number": 0,
        "slot": 0,
        "origin": {"optimizer": "Random"},
    }
    if owner is None:
        spec = {name: spec[name] for name in ("run", "split", "weights")}
    return child(name, version, owner, spec=spec) | ({"status": status} if status else {})


def training_document(version: int, **progress: int) -> Document:
    spec = train_task().spec.document()
    return child("demo-a", version, spec=spec, status={"observedGeneration": 1, "progress": progress})


@pytest.fixture
def cache() -> Cache:
    known = Cache()
    known.put(RUNS, run_document())
    return known


def of_training(version: int = 1, name: str = "demo-a") -> Document:
    """A Job of a training of the run."""
    owner = {"kind": "DeltaTraining", "name": name, "uid": f"{name}-uid", "controller": True}
    return job(metadata={"resourceVersion": str(version), "ownerReferences": [owner]})


class TestWhoIsLookedAt:
    def test_a_run_itself(self) -> None:
        assert Cache().put(RUNS, run_document()) == {RUN}

    def test_the_run_of_a_child_by_its_uid(self, cache: Cache) -> None:
        assert cache.put(TRIALS, trial_document()) == {RUN}
        assert [row.name for row in cache.children("run-uid").trials] == ["demo-t"]

    def test_nobody_for_the_child_of_an_earlier_run_of_that_name(self, cache: Cache) -> None:
        assert cache.put(TRIALS, trial_document(owner=OF_RUN | {"uid": "earlier"})) == frozenset()
        assert cache.children("run-uid").trials == ()

    def test_a_child_that_was_known_before_its_run(self) -> None:
        cache = Cache()
        assert cache.put(TRIALS, trial_document()) == frozenset()
        assert cache.put(RUNS, run_document()) == {RUN}
        assert len(cache.children("run-uid").trials) == 1

    def test_the_run_of_a_training_for_that_trainings_job_and_pod(self, cache: Cache) -> None:
        cache.put(TRAININGS, child("demo-a"))
        assert cache.put(JOBS, of_training()) == {RUN}
        assert cache.put(PODS, pod()) == {RUN}

    def test_a_trial_by_hand_itself_and_whenever_its_run_changes(self, cache: Cache) -> None:
        by_hand = Key("MergeTrial", "team-a", "mine")
        assert cache.put(TRIALS, trial_document("mine", owner=None)) == {by_hand}
        assert cache.put(RUNS, run_document(2, status={"observedGeneration": 1})) == {RUN, by_hand}
        cache.drop(TRIALS, trial_document("mine", 5, owner=None))
        assert cache.put(RUNS, run_document(3)) == {RUN}

    def test_a_training_of_another_controller_is_its_own(self, cache: Cache) -> None:
        other = {"kind": "Workflow", "name": "w", "uid": "w", "controller": True}
        assert cache.put(TRAININGS, child("mine", owner=other)) == {Key("DeltaTraining", "team-a", "mine")}

    def test_nobody_where_nothing_changed_that_is_read(self, cache: Cache) -> None:
        assert cache.put(RUNS, run_document(2)) == frozenset()
        cache.put(JOBS, of_training())
        beat = of_training(2)
        beat["status"]["ready"] = 0
        assert cache.put(JOBS, beat) == frozenset()

    def test_nobody_for_how_far_a_training_is(self, cache: Cache) -> None:
        assert cache.put(TRAININGS, training_document(2, step=1, steps=9)) == {RUN}
        assert cache.put(TRAININGS, training_document(3, step=5, steps=9)) == frozenset()
        found = cache.training(Key("DeltaTraining", "team-a", "demo-a"))
        assert found is not None
        assert found.value is not None
        assert found.value.status is not None
        assert found.value.status.progress is not None
        assert found.value.status.progress.step == 5

    def test_everything_that_is_reconciled(self, cache: Cache) -> None:
        cache.put(TRIALS, trial_document())
        cache.put(TRIALS, trial_document("mine", owner=None))
        cache.put(TRAININGS, child("alone", owner=None))
        assert cache.keys() == {RUN, Key("MergeTrial", "team-a", "mine"), Key("DeltaTraining", "team-a", "alone")}


class TestOrder:
    def test_an_older_version_changes_nothing(self, cache: Cache) -> None:
        cache.put(RUNS, run_document(7, status={"observedGeneration": 1}))
        assert cache.put(RUNS, run_document(6)) == frozenset()
        assert cache.run(RUN) is not None
        assert cache.run(RUN).version == 7  # type: ignore[union-attr]  # as the line above says

    def test_an_event_that_comes_after_the_deletion_brings_nothing_back(self, cache: Cache) -> None:
        assert cache.drop(RUNS, run_document(9)) == {RUN}
        assert cache.put(RUNS, run_document(8)) == frozenset()
        assert cache.run(RUN) is None

    def test_a_late_deletion_leaves_the_object_that_was_made_since(self, cache: Cache) -> None:
        cache.put(RUNS, run_document(12, uid="second"))
        assert cache.drop(RUNS, run_document(9)) == frozenset()
        assert cache.run(RUN) is not None
        assert cache.run(RUN).uid == "second"  # type: ignore[union-attr]  # as the line above says

    def test_what_comes_back_into_sight_is_taken(self, cache: Cache) -> None:
        cache.put(JOBS, of_training())
        cache.drop(JOBS, of_training(5))
        cache.put(JOBS, of_training(6))
        assert cache.job("team-a", "demo-train-0123456789") is not None

    def test_a_changed_owner_wakes_both(self, cache: Cache) -> None:
        cache.put(RUNS, run_document(uid="other-uid") | {"metadata": run_document(uid="other-uid")["metadata"] | {"name": "other"}})
        cache.put(TRIALS, trial_document())
        moved = trial_document(version=2, owner=OF_RUN | {"uid": "other-uid", "name": "other"})
        assert cache.put(TRIALS, moved) == {RUN, Key("AutoLLMRun", "team-a", "other")}
        assert cache.children("run-uid").trials == ()


class TestFullList:
    def test_what_is_missing_is_gone(self, cache: Cache) -> None:
        cache.put(TRIALS, trial_document("demo-1"))
        cache.put(TRIALS, trial_document("demo-2"))
        assert cache.replace(TRIALS, None, [trial_document("demo-2")]) == {RUN}
        assert [row.name for row in cache.children("run-uid").trials] == ["demo-2"]

    def test_of_other_namespaces_nothing_is_known(self, cache: Cache) -> None:
        assert cache.replace(RUNS, "team-b", []) == frozenset()
        assert cache.run(RUN) is not None

    def test_what_comes_while_it_is_read_stays(self, cache: Cache) -> None:
        def listed() -> Iterator[Document]:
            yield trial_document("demo-old")
            cache.put(TRIALS, trial_document("demo-new", 3))
            cache.put(TRIALS, trial_document("demo-old", 4, score="0.5"))

        cache.replace(TRIALS, None, listed())
        assert [(row.name, row.version) for row in cache.children("run-uid").trials] == [("demo-old", 4), ("demo-new", 3)]

    def test_what_was_made_again_while_it_is_read_stays(self, cache: Cache) -> None:
        def listed() -> Iterator[Document]:
            cache.put(RUNS, run_document(4, uid="second"))
            yield from ()

        cache.replace(RUNS, None, listed())
        assert cache.run(RUN) is not None

    def test_a_list_that_breaks_off_forgets_nothing(self, cache: Cache) -> None:
        def listed() -> Iterator[Document]:
            raise ConnectionError
            yield

        with pytest.raises(ConnectionError):
            cache.replace(RUNS, None, listed())
        assert cache.run(RUN) is not None


class TestWhatCannotBeRead:
    def test_is_kept_as_that(self, cache: Cache) -> None:
        newer = run_document(2, status={"observedGeneration": 4})
        newer["spec"]["search"] = {"quantum": {"token": "hunter2"}}
        assert cache.put(RUNS, newer) == {RUN}
        row = cache.run(RUN)
        assert row is not None
        assert (row.value, row.raw_status) == (None, {"observedGeneration": 4})
        assert "spec.search.quantum" in row.problem
        assert "hunter2" not in row.problem

    def test_and_once_it_can_it_is(self, cache: Cache) -> None:
        cache.put(TRIALS, child("demo-t", spec={"from": "the future"}))
        assert cache.children("run-uid").trials[0].value is None
        cache.put(TRIALS, trial_document(version=2))
        assert cache.children("run-uid").trials[0].value is not None


class TestTrialsStaySmall:
    def test_what_is_not_planned_with_is_left_out(self, cache: Cache) -> None:
        cache.put(TRIALS, finished_trial(0))
        value = cache.children("run-uid").trials[0].value
        assert value is not None
        assert value.status is not None
        assert value.status.score is not None
        assert (value.status.metrics, value.status.sources, value.status.conditions) == ([], [], None)

    def test_of_one_with_another_controller_all_is_kept(self, cache: Cache) -> None:
        condition = {"type": "Succeeded", "status": "Unknown", "reason": "Scoring", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        workflow = {"kind": "Workflow", "name": "w", "uid": "w", "controller": True}
        by_hand = trial_document("mine", owner=None, conditions=[condition])
        by_hand["metadata"]["ownerReferences"] = [workflow]
        cache.put(TRIALS, by_hand)
        row = cache.trial(Key("MergeTrial", "team-a", "mine"))
        assert row is not None
        assert row.value is not None
        assert row.value.status is not None
        assert [kept.reason for kept in row.value.status.conditions or []] == ["Scoring"]

    def test_a_thousand_take_a_few_megabytes(self, cache: Cache) -> None:
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000):
            cache.put(TRIALS, finished_trial(number))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (after - before) / 1000 < 9000


def finished_trial(number: int) -> Document:
    """A trial of twelve weights with a result, as evaluators write it."""
    document = trial_document(f"demo-{number}")
    document["spec"] |= {"number": number, "weights": {f"source-{index}/sft": f"0.{number:04d}{index}" for index in range(12)}}
    metric = {"name": "likelihood", "score": "0.51", "standardError": "0.01", "items": 400}
    document["status"] = {
        "observedGeneration": 1,
        "score": f"0.{number:05d}",
        "standardError": "0.01",
        "items": synthetic.ITEMS,
        "metrics": [metric] * 3,
        "sources": [metric] * 12,
        "seconds": {"merge": "0.1", "evaluate": "2.5"},
        "results": f"s3://models/demo/trials/demo/demo-{number}.jsonl",
        "conditions": [
            {"type": "Succeeded", "status": "True", "reason": "Scored", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ],
    }
    return document
