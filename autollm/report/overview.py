"""The overview of a run for a terminal: how far each stage is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autollm.report.gather import RunState
from autollm.report.table import results_table
from autollm.resources.metadata import Condition
from autollm.resources.run_status import RunStatus

_MARKS = {"True": ("✓", "green"), "False": ("✗", "red"), "Unknown": ("·", "dim")}
_STAGES = ("Validated", "DataReady", "DeltasReady", "SearchComplete", "Published")


def overview(state: RunState) -> RenderableType:
    """Return name and outcome, a line for each stage, and the results table once there is one."""
    conditions = {condition.type: condition for condition in state.status.conditions or []}
    parts: list[RenderableType] = [_title(state, conditions.get("Succeeded"))]
    stages = Table.grid(padding=(0, 2))
    for stage in _STAGES:
        stages.add_row(*_stage(stage, conditions.get(stage), state.status))
    parts.append(stages)
    parts.extend(Text(line, style="yellow") for line in _troubles(state, conditions))
    if any(row.test for row in state.rows):
        parts.extend([Text(), results_table(state.rows)])
    return Group(*parts)


def _title(state: RunState, succeeded: Condition | None) -> Text:
    word, style = {"True": ("succeeded", "bold green"), "False": ("failed", "bold red")}.get(
        succeeded.status if succeeded else "Unknown", ("running", "bold")
    )
    if state.run.spec.suspend:
        word, style = "suspended", "bold yellow"
    return Text.assemble((state.run.metadata.name, "bold"), "  ", (word, style))


def _stage(name: str, condition: Condition | None, status: RunStatus) -> tuple[Text, Text, Text]:
    mark, style = _MARKS[condition.status if condition else "Unknown"]
    reached = condition is not None and condition.reason != "NotReached"
    told = condition.message if condition is not None and reached else ""
    return Text(mark, style=style), Text(name), Text(" ".join(part for part in (_counts(name, status), told) if part))


def _counts(stage: str, status: RunStatus) -> str:
    if stage == "DataReady" and status.data is not None:
        dropped = sum(status.data.dropped.values())
        return f"{status.data.records} records in {status.data.chunks} chunks, {dropped} dropped."
    if stage == "DeltasReady" and status.deltas is not None:
        deltas = status.deltas
        return f"{deltas.ready} of {deltas.total} ready, {deltas.reused} reused, {deltas.failed} failed."
    if stage == "SearchComplete" and status.trials is not None:
        trials = status.trials
        best = f" Best {status.best.score:.4f} ±{status.best.standard_error:.4f}." if status.best is not None else ""
        return f"{trials.succeeded} trials scored, {trials.failed} failed, {trials.running} running.{best}"
    return ""


def _troubles(state: RunState, conditions: dict[str, Condition]) -> Iterator[str]:
    stalled = conditions.get("Stalled")
    if stalled is not None and stalled.status == "True":
        yield f"{stalled.reason}: {stalled.message}"
    for training in state.trainings:
        failure = training.status.failure if training.status else None
        if failure is not None:
            yield f"{training.spec.delta}: {failure.reason}: {failure.message}"
        elif training.status and training.status.delta is None and (progress := training.status.progress):
            speed = f", {progress.tokens_per_second} tokens/s" if progress.tokens_per_second else ""
            loss = f", loss {progress.loss}" if progress.loss is not None else ""
            yield f"{training.spec.delta}: step {progress.step} of {progress.steps}{loss}{speed}"
