from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.folder import ObjectFolder
from autollm.resources.metadata import Failure
from autollm_runtime.worker.feed import FolderFeed
from autollm_runtime.worker.reports import FolderReports

FAILURE = Failure(reason="NonFinite", message="a weight is NaN")


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(tmp_path)


def write(objects: ObjectFolder, name: str, **spec: Any) -> None:
    fields = {"run": "demo", "landscape": digest_bytes(b"l"), "split": "Search", "weights": {}, "number": 0, "slot": 0}
    document = {
        "apiVersion": "autollm.dev/v1alpha1",
        "kind": "MergeTrial",
        "metadata": {"name": name},
        "spec": fields | {"origin": {"optimizer": "Start"}} | spec,
    }
    objects.create("MergeTrial", name, document)


def next_name(feed: FolderFeed, slot: int = 0, run: str = "demo") -> str | None:
    trial = feed.next(slot, run)
    return None if trial is None else trial.metadata.name


def test_nothing_waits_in_an_empty_folder(objects: ObjectFolder) -> None:
    assert next_name(FolderFeed(objects)) is None


def test_the_lowest_number_comes_first(objects: ObjectFolder) -> None:
    write(objects, "a", number=5)
    write(objects, "b", number=3)
    assert next_name(FolderFeed(objects)) == "b"


def test_a_trial_comes_again_until_it_has_an_outcome(objects: ObjectFolder) -> None:
    write(objects, "a")
    write(objects, "b", number=1)
    feed = FolderFeed(objects)
    assert [next_name(feed), next_name(feed)] == ["a", "a"]
    FolderReports(objects).failed_trial("a", FAILURE)
    assert next_name(feed) == "b"
    assert next_name(FolderFeed(objects)) == "b"


def test_what_the_planner_gave_up_does_not_come(objects: ObjectFolder) -> None:
    write(objects, "a")
    objects.report("MergeTrial", "a", "status", {"failure": FAILURE.document()})
    assert next_name(FolderFeed(objects)) is None


def test_slots_and_runs_have_their_own(objects: ObjectFolder) -> None:
    write(objects, "a", slot=1)
    write(objects, "b", run="other")
    feed = FolderFeed(objects)
    assert next_name(feed) is None
    assert next_name(feed, slot=1) == "a"
    assert next_name(feed, run="other") == "b"


def test_trials_that_appear_later_are_found(objects: ObjectFolder) -> None:
    feed = FolderFeed(objects)
    assert next_name(feed) is None
    write(objects, "a")
    assert next_name(feed) == "a"
