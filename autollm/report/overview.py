"""The overview of a run for a terminal: how far each stage is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autollm.plan.conditions import STAGES
from autollm.report.state import RunState
from autollm.report.table import results_table
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.metadata import Condition

_DONE, _WORKING, _FAILED, _REFUSED, _AHEAD = ("✓", "green"), ("▸", "bold"), ("✗", "red"), ("–", "yellow"), ("·", "dim")


def outcome(state: RunState, *, at_work: bool = True) -> tuple[str, str]:
    """Return in a word how the run stands, and the style in which a terminal shows it; `at_work` says that an engine is at it."""
    succeeded, working, stalled = (state.condition(name) for name in ("Succeeded", "Reconciling", "Stalled"))
    if succeeded is not None and succeeded.status != "Unknown":
        return ("succeeded", "bold green") if succeeded.status == "True" else ("failed", "bold red")
    if stalled is not None and stalled.status == "True":
        return "stalled", "bold red"
    if working is not None and working.status == "False":
        return "paused", "bold yellow"
    return ("running", "bold") if at_work else ("interrupted", "bold yellow")


def hint(word: str, state: RunState) -> str:
    """Return what a user should know of this outcome where no condition says it, else nothing."""
    if word == "interrupted":
        return "`autollm run` goes on where it was stopped"
    if word == "running" and not state.status.conditions:
        return "not looked at yet; if that stays so in a cluster, no operator watches this namespace"
    return ""


def is_at_rest(state: RunState, *, at_work: bool = True) -> bool:
    """Say whether nothing more happens by itself: the run has ended, or goes on only once somebody changes or starts it."""
    return outcome(state, at_work=at_work)[0] != "running"


def overview(state: RunState, *, at_work: bool = True) -> RenderableType:
    """Return name and outcome, a line for each stage, what is under way or went wrong, and the results once there are some."""
    steps = [Text(line) for line in _steps(state)] if not is_at_rest(state, at_work=at_work) else []
    results = [Text(), results_table(state.rows)] if any(row.test for row in state.rows) else []
    return Group(stages(state, at_work=at_work), *steps, *_rounds(state), *results)


def stages(state: RunState, *, at_work: bool = True) -> RenderableType:
    """Return name and outcome, a line for each stage, and what went wrong."""
    word, style = outcome(state, at_work=at_work)
    said = hint(word, state)
    lines = Table.grid(padding=(0, 2))
    for stage in STAGES:
        lines.add_row(*_stage(stage, state))
    failures = [Text(line, style="red") for line in _failures(state)]
    return Group(Text.assemble((state.run.metadata.name, "bold"), "  ", (word, style), f"  {said}" if said else ""), lines, *failures)


def _stage(name: str, state: RunState) -> tuple[Text, Text, Text]:
    condition = state.condition(name)
    mark, style = _mark(condition, state)
    reached = condition is not None and condition.reason != "NotReached"
    told = condition.message if condition is not None and reached else ""
    return Text(mark, style=style), Text(name), Text(" ".join(part for part in (told, _added(name, state)) if part))


def _mark(condition: Condition | None, state: RunState) -> tuple[str, str]:
    if condition is None or condition.reason == "NotReached":
        return _AHEAD
    if condition.status == "True":
        return _DONE
    word = outcome(state)[0]
    if word == "succeeded":
        return _REFUSED  # the gate held the model back, which is no failure of the run
    return _FAILED if word == "failed" else _WORKING


def _added(stage: str, state: RunState) -> str:
    """Return what the conditions do not say."""
    status = state.status
    if stage == "DataReady" and status.data is not None and (dropped := sum(status.data.dropped.values())):
        return f"{dropped} dropped."
    if stage == "SearchComplete" and status.trials is not None:
        failed = f"{status.trials.failed} failed. " if status.trials.failed else ""
        best = f"Best {status.best.score:.4f} ±{status.best.standard_error:.4f}." if status.best is not None else ""
        return failed + best
    return ""


def _failures(state: RunState) -> Iterator[str]:
    stalled, told = state.condition("Stalled"), [condition.message for stage in STAGES if (condition := state.condition(stage))]
    if stalled is not None and stalled.status == "True" and stalled.message not in told:
        yield f"{stalled.reason}: {stalled.message}"
    for training in _trainings(state):
        failure = training.status.failure if training.status else None
        if failure is not None:
            yield f"{training.spec.delta}: {failure.reason}: {failure.message}"


def _rounds(state: RunState) -> Iterator[Text]:
    if (refresh := state.status.refresh) is not None:
        again = f": the sources are looked at again at {refresh.next}" if refresh.next else ""
        yield Text(f"round {refresh.round}, begun {refresh.begun}{again}")


def _trainings(state: RunState) -> Sequence[DeltaTraining]:
    """Return the trainings that this stage is about: none while changed data or a changed document is still being prepared."""
    condition = state.condition("DeltasReady")
    return state.current_trainings if condition is not None and condition.reason != "NotReached" else ()


def _steps(state: RunState) -> Iterator[str]:
    for training in _trainings(state):
        status = training.status
        if status is not None and status.failure is None and status.delta is None and (progress := status.progress) is not None:
            loss = f", loss {progress.loss:.3f}" if progress.loss is not None else ""
            speed = f", {progress.tokens_per_second} tokens/s" if progress.tokens_per_second else ""
            yield f"{training.spec.delta}: step {progress.step} of {progress.steps}{loss}{speed}"
