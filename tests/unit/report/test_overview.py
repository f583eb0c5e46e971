"""What `status` and `watch` show."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from autollm.report.overview import is_at_rest, outcome, overview
from autollm.report.state import RunState, read_state
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.run_status import RefreshStatus
from support.sample_run import sample_run, training_under_way, write_sample_run
from support.world import AnyErrand

METHODS = [{"name": "sft", "sft": {"learningRate": "2e-3", "batchSize": 8}}]


def printed(state: RunState, *, at_work: bool = True) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160, color_system=None).print(overview(state, at_work=at_work))
    return stream.getvalue()


def marks(text: str) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in text.splitlines() if line.startswith(("✓", "▸", "✗", "–", "·"))}


def test_a_published_run(finished: Path) -> None:
    text = printed(read_state(finished))
    assert text.startswith("quickstart  succeeded")
    assert set(marks(text).values()) == {"✓"}
    assert list(marks(text)) == ["Validated", "DataReady", "DeltasReady", "SearchComplete", "Published"]
    assert "9 dropped" in text
    assert "auto = base" in text


def test_a_search_under_way(searching: Path) -> None:
    state = read_state(searching)
    text = printed(state)
    assert text.startswith("quickstart  running")
    assert marks(text) == {"Validated": "✓", "DataReady": "✓", "DeltasReady": "✓", "SearchComplete": "▸", "Published": "·"}
    assert "5 of 24 trials are done. Best 0." in text
    assert not is_at_rest(state)


def test_a_run_without_its_engine_says_how_to_go_on(searching: Path) -> None:
    state = read_state(searching)
    assert is_at_rest(state, at_work=False)
    assert printed(state, at_work=False).startswith("quickstart  interrupted  `autollm run` goes on where it was stopped")


def test_a_run_that_nobody_has_looked_at_says_what_may_be_missing(searching: Path) -> None:
    state = read_state(searching)
    new = RunState(state.run.model_copy(update={"status": None}), (), ())
    assert printed(new).startswith("quickstart  running  not looked at yet; if that stays so in a cluster, no operator watches this")
    assert "not looked at" not in printed(state)


def test_rounds_say_when_the_sources_are_looked_at_again(searching: Path) -> None:
    state = read_state(searching)
    refresh = RefreshStatus(round=3, begun="2026-01-01T00:00:00Z", next="2026-01-02T00:00:00Z")
    run = state.run.model_copy(update={"status": state.status.model_copy(update={"refresh": refresh})})
    text = printed(RunState(run, state.trainings, state.trials))
    assert "round 3, begun 2026-01-01T00:00:00Z: the sources are looked at again at 2026-01-02T00:00:00Z" in text
    assert "round" not in printed(state)


def test_what_is_in_the_way_in_a_cluster_is_no_pause(searching: Path) -> None:
    state = read_state(searching)
    verdicts = {"Reconciling": "False", "Stalled": "True", "Succeeded": "Unknown"}
    told = {"reason": "Forbidden", "message": "a quota"}
    conditions = [
        one.model_copy(update={"status": verdicts[one.type], **told}) if one.type in verdicts else one
        for one in state.status.conditions or []
    ]
    blocked = state.run.model_copy(update={"status": state.status.model_copy(update={"conditions": conditions})})
    state = RunState(blocked, state.trainings, state.trials)
    assert printed(state).startswith("quickstart  stalled")
    assert "Forbidden: a quota" in printed(state)
    assert is_at_rest(state)


def test_an_end_is_an_end_whether_or_not_an_engine_is_there(finished: Path) -> None:
    assert outcome(read_state(finished), at_work=False)[0] == "succeeded"


def test_trainings_under_way_show_their_steps(tmp_path: Path) -> None:
    state = read_state(write_sample_run(tmp_path, until=training_under_way))
    assert "math/sft: step 45 of 100, loss 1.234, 812 tokens/s" in printed(state)
    assert "step 45" not in printed(state, at_work=False)


def test_a_failed_training_is_named_with_its_message(tmp_path: Path) -> None:
    told = Failure(reason="OutOfMemory", message="not even one record fits: lower data.maxTokens")

    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        return told if getattr(getattr(work, "spec", None), "delta", None) == "code/sft" else None

    state = read_state(write_sample_run(tmp_path, fails=fails))
    text = printed(state)
    assert text.startswith("quickstart  failed")
    assert marks(text)["DeltasReady"] == "✗"
    assert marks(text)["SearchComplete"] == "·"
    assert "code/sft: OutOfMemory: not even one record fits: lower data.maxTokens" in text
    assert text.count("deltas are ready") == 1, "the stage tells it, so nothing else does"
    assert any(isinstance(training, DeltaTraining) and training.status and training.status.failure for training in state.trainings)


def test_trainings_of_an_earlier_document_are_not_shown(tmp_path: Path) -> None:
    """The one failed, the other was stopped half-way; then the document was changed, and neither is of the run any more."""
    failure = Failure(reason="OutOfMemory", message="not even one record fits: lower data.maxTokens")
    state = read_state(write_sample_run(tmp_path, until=training_under_way))
    half_done = next(one for one in state.trainings if one.status is not None and one.status.progress is not None)
    assert half_done.status is not None
    failed = half_done.model_copy(update={"status": half_done.status.model_copy(update={"progress": None, "failure": failure})})
    for trainings, shown in (((half_done,), "step 45 of 100"), ((failed,), "OutOfMemory")):
        assert shown in printed(RunState(state.run, trainings, ()))
        changed = state.run.spec.model_copy(update={"training": sample_run(tmp_path, training={"methods": METHODS}).spec.training})
        later = RunState(state.run.model_copy(update={"spec": changed}), trainings, ())
        assert later.current_trainings == ()
        assert shown not in printed(later)


def test_while_changed_data_is_prepared_no_training_is_shown(tmp_path: Path) -> None:
    state = read_state(write_sample_run(tmp_path, until=training_under_way))
    conditions = [
        one.model_copy(update={"reason": "NotReached"}) if one.type == "DeltasReady" else one for one in state.status.conditions or []
    ]
    preparing = state.run.model_copy(update={"status": state.status.model_copy(update={"conditions": conditions})})
    assert "step 45" not in printed(RunState(preparing, state.trainings, ()))


def test_a_model_that_the_gate_held_back_is_no_failure(tmp_path: Path) -> None:
    run = sample_run(tmp_path / "artifacts", search={"trials": 1, "optimizer": {"random": {}}})
    text = printed(read_state(write_sample_run(tmp_path, run=run)))
    assert text.startswith("quickstart  succeeded")
    assert marks(text)["Published"] == "–"


def test_a_suspended_run_is_paused(tmp_path: Path) -> None:
    run = sample_run(tmp_path / "artifacts", suspend=True)
    state = read_state(write_sample_run(tmp_path, run=run))
    assert outcome(state)[0] == "paused"
    assert is_at_rest(state)


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    state = read_state(write_sample_run(tmp_path, until=lambda world: True))
    assert outcome(state)[0] == "running"
    assert set(marks(printed(state)).values()) == {"·"}
