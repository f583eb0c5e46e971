"""results.json: its form is a promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autollm.report.results import results_document
from autollm.report.state import read_state
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support.sample_run import sample_run, write_sample_run
from support.world import AnyErrand

SCORED = {"score", "standardError", "items"}


@pytest.fixture(scope="module")
def document(finished: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(results_document(read_state(finished)), allow_nan=False))
    return document


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]


def test_the_fields_in_their_order(document: dict[str, Any]) -> None:
    assert list(document) == ["run", "objective", "results", "trials", "best", "published"]
    assert document["run"] == "quickstart"
    assert [metric["name"] for metric in document["objective"]["metrics"]] == ["exact", "likelihood"]
    assert [metric["weight"] for metric in document["objective"]["metrics"]] == [1.0, 0.5]


def test_the_rows(document: dict[str, Any]) -> None:
    names = [row["name"] for row in document["results"]]
    assert names[:6] == ["base", "math/sft", "code/sft", "following/sft", "following/dpo", "average"]
    assert names[-1] == "auto"
    for row in document["results"]:
        assert list(row) == ["name", "weights", "search", "test", "versus", "metrics", "sources", "testTrial"]
        assert set(row["test"]) == SCORED
        assert row["test"]["items"] == 120
        assert set(row["sources"]) == {"math", "code", "following"}
        assert set(row["metrics"]["exact"]) == SCORED | {"stopRate"}
        assert set(row["metrics"]["likelihood"]) == SCORED
    assert document["results"][0]["weights"] == {}
    assert document["results"][1]["weights"] == {"math/sft": 1.0}


def test_auto_is_ahead_of_every_row_by_what_its_test_scores_differ(document: dict[str, Any]) -> None:
    *others, auto = document["results"]
    assert auto["versus"] is None
    for row in others:
        versus = row["versus"]
        assert versus["low"] <= versus["difference"] <= versus["high"]
        assert versus["difference"] == pytest.approx(auto["test"]["score"] - row["test"]["score"], abs=2e-6)


def test_all_that_counts_is_a_number(document: dict[str, Any]) -> None:
    texts = {leaf for leaf in leaves(document) if isinstance(leaf, str)}
    assert not [text for text in texts if text.replace(".", "").replace("-", "").isdigit()]
    assert all(isinstance(weight, float) for row in document["results"] for weight in row["weights"].values())
    assert all(isinstance(weight, float) for weight in document["published"]["weights"].values())


def test_trials_name_how_their_candidate_was_found(document: dict[str, Any]) -> None:
    trials = document["trials"]
    assert [trial["number"] for trial in trials] == list(range(24))
    assert {trial["state"] for trial in trials} == {"scored"}
    assert {trial["optimizer"] for trial in trials} == {"Start", "Random"}
    best = max(trials, key=lambda trial: trial["score"])
    assert document["best"] == {key: best[key] for key in ("score", "standardError", "weights")} | {"trial": best["name"]}
    assert document["results"][-1]["weights"] == best["weights"]


def test_what_was_published(document: dict[str, Any]) -> None:
    published = document["published"]
    assert list(published) == ["revision", "uri", "digest", "base", "weights", "deltas"]
    assert published["revision"] == "r1"
    assert set(published["weights"]) == set(published["deltas"])


def test_before_anything_happened_everything_is_there_and_empty(tmp_path: Path) -> None:
    document = results_document(read_state(write_sample_run(tmp_path, until=lambda world: True)))
    assert {key: document[key] for key in ("results", "trials", "best", "published")} == {
        "results": [],
        "trials": [],
        "best": None,
        "published": None,
    }


def test_a_search_under_way_has_a_pending_trial_and_a_best(searching: Path) -> None:
    document = results_document(read_state(searching))
    assert [trial["state"] for trial in document["trials"]] == ["scored"] * 5 + ["pending"]
    assert set(document["trials"][-1]) == {"name", "number", "weights", "optimizer", "state"}
    assert document["results"] == []
    assert document["best"]["score"] == max(trial["score"] for trial in document["trials"][:5])


def test_a_failed_trial_says_why(tmp_path: Path) -> None:
    told = Failure(reason="NonFinite", message="logits hold NaN")

    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        return told if isinstance(work, MergeTrial) and work.spec.number == 2 and work.spec.split == "Search" else None

    run = sample_run(tmp_path / "artifacts", search={"trials": 5, "optimizer": {"random": {}}})
    document = results_document(read_state(write_sample_run(tmp_path, run=run, fails=fails)))
    failed = document["trials"][2]
    assert {key: failed[key] for key in ("state", "reason", "message")} == {
        "state": "failed",
        "reason": "NonFinite",
        "message": "logits hold NaN",
    }
    assert "score" not in failed
