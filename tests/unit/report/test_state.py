"""What is found among the objects of a run."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.folder import ObjectFolder
from autollm.errors import InputError
from autollm.plan.landscape import OUTDATED
from autollm.report.state import best_single, compared_rows, read_state
from autollm.resources.merge_trial import MergeTrialStatus
from support.sample_run import sample_run, write_sample_run


def test_every_row_finds_the_trial_that_tested_it(finished: Path) -> None:
    state = read_state(finished)
    assert [row.name for row in state.rows][-1] == "auto"
    for row in state.rows:
        trial = state.test_trial(row)
        assert trial is not None, row.name
        assert trial.status is not None
        assert row.test is not None
        assert trial.spec.split == "Test"
        assert trial.status.score == row.test.score
        assert trial.spec.name == row.name


def test_a_row_without_a_test_score_has_no_trial(finished: Path) -> None:
    state = read_state(finished)
    assert state.test_trial(state.rows[0].model_copy(update={"test": None})) is None


def test_base_best_single_delta_and_winner_are_compared(finished: Path) -> None:
    state = read_state(finished)
    single = best_single(state)
    assert single is not None
    assert single.test is not None
    others = [row.test.score for row in state.rows if row.test is not None and row.name.endswith(("/sft", "/dpo"))]
    assert len(others) == 4
    assert single.test.score == max(others)
    assert [row.name for row in compared_rows(state)] == ["base", single.name, "auto"]


def test_search_trials_are_in_order_and_of_the_search_alone(finished: Path) -> None:
    trials = read_state(finished).search_trials
    assert [trial.spec.number for trial in trials] == list(range(24))
    assert {trial.spec.split for trial in trials} == {"Search"}


def test_finalists_scored_again_on_all_items_are_no_search_trials(tmp_path: Path) -> None:
    sampled = sample_run(tmp_path / "artifacts", search={"trials": 9, "items": 30, "finalists": 2, "optimizer": {"random": {}}})
    state = read_state(write_sample_run(tmp_path, run=sampled))
    assert sum(trial.spec.split == "Search" for trial in state.trials) == 9 + 2
    assert [trial.spec.number for trial in state.search_trials] == list(range(9))
    assert {trial.spec.items for trial in state.search_trials} == {30}


def test_trials_that_a_change_gave_up_are_left_out(finished: Path) -> None:
    state = read_state(finished)
    given_up = state.search_trials[3].model_copy(update={"status": MergeTrialStatus(failure=OUTDATED)})
    others = [trial for trial in state.trials if trial.metadata.name != given_up.metadata.name]
    changed = dataclasses.replace(state, trials=(*others, given_up))
    assert [trial.spec.number for trial in changed.search_trials] == [*range(3), *range(4, 24)]


def test_trials_that_the_space_does_not_allow_any_more_are_left_out(finished: Path) -> None:
    state = read_state(finished)
    search = state.run.spec.search
    narrower = search.model_copy(update={"space": search.space.model_copy(update={"max": Decimal("0.5")})})
    changed = dataclasses.replace(
        state, run=state.run.model_copy(update={"spec": state.run.spec.model_copy(update={"search": narrower})})
    ).search_trials
    assert 0 < len(changed) < 24
    assert all(weight <= Decimal("0.5") for trial in changed for weight in trial.spec.weights.values())


def test_of_two_trainings_of_one_name_the_one_that_the_prepared_data_ask_for_is_current(finished: Path) -> None:
    state = read_state(finished)
    current = state.current_trainings[0]
    spec = current.spec.model_copy(update={"key": digest_bytes(b"of the data before")})
    earlier = current.model_copy(update={"metadata": current.metadata.model_copy(update={"name": "quickstart-0000000000"}), "spec": spec})
    for trainings in ((earlier, *state.trainings), (*state.trainings, earlier)):
        assert dataclasses.replace(state, trainings=trainings).current_trainings == state.trainings


def test_a_run_that_has_not_begun_has_nothing(tmp_path: Path) -> None:
    state = read_state(write_sample_run(tmp_path, until=lambda world: True))
    assert list(state.rows) == []
    assert state.search_trials == []
    assert compared_rows(state) == []
    assert state.published is None
    assert state.condition("Succeeded") is None


def test_what_another_run_published_counts_as_published(finished: Path) -> None:
    state = read_state(finished)
    assert state.published is not None
    assert state.published.revision == "r1"
    assert all(isinstance(weight, Decimal) for weight in state.published.weights.values())


def test_a_folder_of_something_else_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not the folder of a run.*autollm run"):
        read_state(tmp_path)


@pytest.mark.parametrize("damage", ["{", '{"kind": "AutoLLMRun"}', '{"kind": "MergeTrial", "metadata": {"name": "x"}, "spec": {"no": 1}}'])
def test_an_object_that_cannot_be_read_is_named(tmp_path: Path, damage: str) -> None:
    folder = write_sample_run(tmp_path, until=lambda world: True)
    ObjectFolder(folder / "objects").apply("MergeTrial", "broken", {})
    (folder / "objects" / "mergetrials" / "broken" / "object.json").write_text(damage)
    with pytest.raises(InputError, match="objects holds an object that cannot be read"):
        read_state(folder)
