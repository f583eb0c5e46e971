"""The overview of a run for a terminal: how far each stage is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autollm.plan.conditions import STAGES
from autollm.report.state import RunState
from autollm.report.table import results_table
from autollm.resources.metadata import Condition

_DONE, _WORKING, _FAILED, _REFUSED, _AHEAD = ("✓", "green"), ("▸", "bold"), ("✗", "red"), ("–", "yellow"), ("·", "dim")


def outcome(state: RunState, *, at_work: bool = True) -> tuple[str, str]:
    """Return in a word how the run stands, and the style in which a terminal shows it; `at_work` says that an engine is at it."""
    succeeded, working = state.condition("Succeeded"), state.condition("Reconciling")
    if succeeded is not None and succeeded.status != "Unknown":
        return ("succeeded", "bold green") if succeeded.status == "True" else ("failed", "bold red")
    if working is not None and working.status == "False":
        return "paused", "bold yellow"
    return ("running", "bold") if at_work else ("interrupted", "bold yellow")


def is_at_rest(state: RunState, *, at_work: bool = True) -> bool:
    """Say whether nothing more happens by itself: the run has ended, or goes on only once somebody changes or starts it."""
    return outcome(state, at_work=at_work)[0] != "running"


def overview(state: RunState, *, at_work: bool = True) -> RenderableType:
    """Return name and outcome, a line for each stage, what is under way or went wrong, and the results once there are some."""
    word, style = outcome(state, at_work=at_work)
    hint = "  `autollm run` goes on where it was stopped" if word == "interrupted" else ""
    parts: list[RenderableType] = [Text.assemble((state.run.metadata.name, "bold"), "  ", (word, style), hint)]
    stages = Table.grid(padding=(0, 2))
    for stage in STAGES:
        stages.add_row(*_stage(stage, state))
    parts.append(stages)
    parts.extend(_under_way(state))
    if any(row.test for row in state.rows):
        parts.extend([Text(), results_table(state.rows)])
    return Group(*parts)


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


def _under_way(state: RunState) -> Iterator[Text]:
    stalled = state.condition("Stalled")
    if stalled is not None and stalled.status == "True":
        yield Text(f"{stalled.reason}: {stalled.message}", style="red")
    working = not is_at_rest(state)
    for training in state.trainings:
        status = training.status
        if status is not None and status.failure is not None:
            yield Text(f"{training.spec.delta}: {status.failure.reason}: {status.failure.message}", style="red")
        elif working and status is not None and status.delta is None and (progress := status.progress) is not None:
            loss = f", loss {progress.loss:.3f}" if progress.loss is not None else ""
            speed = f", {progress.tokens_per_second} tokens/s" if progress.tokens_per_second else ""
            yield Text(f"{training.spec.delta}: step {progress.step} of {progress.steps}{loss}{speed}")
