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
from support.sample_run import sample_run, training_under_way, write_sample_run
from support.world import AnyErrand


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
    assert any(isinstance(training, DeltaTraining) and training.status and training.status.failure for training in state.trainings)


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
