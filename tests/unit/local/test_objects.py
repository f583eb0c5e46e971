"""The objects of a run in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from autollm.contract.folder import ObjectFolder
from autollm.errors import InputError
from autollm.local.objects import RunObjects
from autollm.plan.landscape import OUTDATED, failure_of, is_pending
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec, Origin
from autollm.resources.metadata import ChildMetadata
from autollm.resources.run_status import RunStatus
from autollm_runtime.worker.reports import FolderReports
from support import synthetic
from support.runs import make_run


def trial(name: str = "demo-1", weight: int = 1) -> MergeTrial:
    spec = MergeTrialSpec.model_validate(
        {
            "run": "demo",
            "landscape": "sha256:" + "0" * 64,
            "split": "Search",
            "weights": {"math/sft": weight},
            "number": 0,
            "slot": 0,
            "origin": Origin(optimizer="Start"),
        }
    )
    return MergeTrial(metadata=ChildMetadata(name=name), spec=spec)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(tmp_path / "objects")


def snapshot_of(objects: RunObjects) -> dict[str, MergeTrial]:
    return {trial.metadata.name: trial for trial in objects.snapshot((), "", {}).trials}


def test_trials_that_failed_before_are_those_of_earlier_engines(folder: ObjectFolder) -> None:
    objects = RunObjects(folder, make_run())
    objects.create_trial(trial())
    objects.fail_trial("demo-1", OUTDATED)
    assert objects.snapshot((), "", {}).failed_before == frozenset()
    assert RunObjects(folder, make_run()).snapshot((), "", {}).failed_before == {"demo-1"}


class TestApplying:
    def test_a_new_run_has_generation_one_and_a_time(self, folder: ObjectFolder) -> None:
        run = RunObjects(folder, make_run()).run
        assert run.metadata.generation == 1
        assert run.metadata.creation_timestamp is not None

    def test_the_same_document_leaves_it(self, folder: ObjectFolder) -> None:
        first = RunObjects(folder, make_run()).run
        assert RunObjects(folder, make_run()).run == first

    def test_a_changed_spec_raises_the_generation_and_keeps_the_status(self, folder: ObjectFolder) -> None:
        RunObjects(folder, make_run()).write_status(RunStatus(observed_generation=1))
        run = RunObjects(folder, make_run(search={"trials": 9})).run
        assert run.metadata.generation == 2
        assert run.status == RunStatus(observed_generation=1)

    def test_the_folder_of_another_run_is_refused(self, folder: ObjectFolder) -> None:
        RunObjects(folder, make_run("one"))
        with pytest.raises(InputError, match="is the folder of the run one, not of two; choose another by --folder"):
            RunObjects(folder, make_run("two"))

    def test_artifacts_in_another_place_are_refused(self, folder: ObjectFolder) -> None:
        RunObjects(folder, make_run(artifacts={"uri": "file:///one"}))
        with pytest.raises(InputError, match="deltas and results in file:///one, not in file:///two; keep that place, or give"):
            RunObjects(folder, make_run(artifacts={"uri": "file:///two"}))


class TestTrials:
    def test_created_twice_the_first_stays(self, folder: ObjectFolder) -> None:
        objects = RunObjects(folder, make_run())
        objects.create_trial(trial(weight=1))
        objects.create_trial(trial(weight=2))
        assert snapshot_of(objects)["demo-1"].spec.weights == {"math/sft": 1}
        assert snapshot_of(objects)["demo-1"].metadata.creation_timestamp is not None

    def test_a_result_is_seen_once(self, folder: ObjectFolder) -> None:
        objects = RunObjects(folder, make_run())
        objects.create_trial(trial())
        assert not objects.refresh_trials()
        FolderReports(folder).scored("demo-1", synthetic.result(trial(), {}))
        assert objects.refresh_trials()
        assert not objects.refresh_trials()
        assert objects.pending_trials == []

    def test_a_failure_does_not_take_the_place_of_a_result(self, folder: ObjectFolder) -> None:
        objects = RunObjects(folder, make_run())
        objects.create_trial(trial())
        FolderReports(folder).scored("demo-1", synthetic.result(trial(), {}))
        objects.fail_trial("demo-1", OUTDATED)
        assert failure_of(snapshot_of(objects)["demo-1"]) is None

    def test_nor_a_result_that_of_a_failure(self, folder: ObjectFolder) -> None:
        objects = RunObjects(folder, make_run())
        objects.create_trial(trial())
        objects.fail_trial("demo-1", OUTDATED)
        FolderReports(folder).scored("demo-1", synthetic.result(trial(), {}))
        assert failure_of(snapshot_of(RunObjects(folder, make_run()))["demo-1"]) == OUTDATED

    def test_a_deleted_one_is_gone_for_every_engine_and_may_be_made_again(self, folder: ObjectFolder) -> None:
        objects = RunObjects(folder, make_run())
        objects.create_trial(trial(weight=1))
        FolderReports(folder).scored("demo-1", synthetic.result(trial(), {}))
        for _ in range(2):
            objects.delete_trial("demo-1")
        assert snapshot_of(objects) == snapshot_of(RunObjects(folder, make_run())) == {}
        objects.create_trial(trial(weight=2))
        assert is_pending(snapshot_of(objects)["demo-1"])


def test_status_is_written_only_where_it_differs_and_leaves_what_workers_reported(folder: ObjectFolder) -> None:
    objects = RunObjects(folder, make_run())
    assert objects.write_status(RunStatus(observed_generation=1))
    assert not objects.write_status(RunStatus(observed_generation=1))
    folder.report("AutoLLMRun", "demo", "published", {"published": REVISION})
    assert not objects.write_status(RunStatus(observed_generation=1))
    status = objects.snapshot((), "", {}).run.status
    assert status is not None
    assert status.published is not None


REVISION = {
    "revision": "r1",
    "uri": "file:///r1",
    "digest": "sha256:" + "1" * 64,
    "base": "sha256:" + "2" * 64,
    "weights": {"math/sft": 1},
    "deltas": {"math/sft": "sha256:" + "3" * 64},
}
