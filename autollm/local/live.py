"""Live progress in a terminal: the stages of the run, and a bar with rate and time left for what is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from autollm.plan.plan import Plan
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Working
from autollm.report.overview import stages
from autollm.report.state import RunState
from autollm.resources.facts import Progress as StepProgress

REFRESH_HZ = 4
RATE_SECONDS = 3600.0
"""Rates are those of the last hour: a trial of a large model may take many minutes."""


@dataclass(frozen=True)
class Bar:
    """Something under way: how much of it is done, of how many `units` (None: nobody knows), and what is known beside that."""

    name: str
    done: int = 0
    total: int | None = None
    units: str = ""
    note: str = ""


class LiveProgress:
    """The stages and the bars, drawn in place; what is told stays above them."""

    def __init__(self, console: Console, clock: Callable[[], float] | None = None) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Done(),
            TextColumn("{task.fields[note]}", markup=False),
            _Rate(),
            _TimeLeft(),
            console=console,
            get_time=clock,
            speed_estimate_period=RATE_SECONDS,
        )
        self._known: dict[str, TaskID] = {}
        self._live = Live(console=console, refresh_per_second=REFRESH_HZ, transient=True)
        self._live.start()

    def show(self, snapshot: Snapshot, plan: Plan) -> None:
        """Draw the run as it stands."""
        work = {bar.name: bar for bar in bars(snapshot, plan)}
        for name in self._known.keys() - work.keys():
            self._bars.remove_task(self._known.pop(name))
        for name, bar in work.items():
            if name not in self._known:
                self._known[name] = self._bars.add_task(name, total=bar.total, completed=bar.done, note=bar.note, units=bar.units)
            self._bars.update(self._known[name], total=bar.total, completed=bar.done, note=bar.note)
        self._live.update(Group(stages(_planned(snapshot, plan)), Text(), self._bars) if work else stages(_planned(snapshot, plan)))

    def tell(self, message: str) -> None:
        """Print a line above."""
        self._live.console.print(message, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was; what came of the run is printed by whoever ran it."""
        self._live.stop()


def _planned(snapshot: Snapshot, plan: Plan) -> RunState:
    """Return the run with the status of the plan, which is newer than the one it was made from."""
    before = snapshot.run.status
    reported = {"prepared": before.prepared, "published": before.published} if before is not None else {}
    run = snapshot.run.model_copy(update={"status": plan.status.model_copy(update=reported)})
    return RunState(run, snapshot.trainings, snapshot.trials)


def bars(snapshot: Snapshot, plan: Plan) -> Iterator[Bar]:
    """Yield what is under way: the trainings that have told of their steps, or else the stage."""
    if not isinstance(plan.state, Working):
        return
    trials, rows = plan.status.trials, plan.status.results or []
    match plan.state.reason:
        case "Training":
            yield from _trainings(_planned(snapshot, plan))
        case "Searching" if trials is not None:
            yield Bar("Searching", trials.succeeded + trials.failed, snapshot.spec.search.trials, "trials")
        case "Testing":
            yield Bar("Testing", sum(row.test is not None for row in rows), len(rows), "tests")
        case reason:
            yield Bar(reason)


def _trainings(state: RunState) -> Iterator[Bar]:
    for training in state.current_trainings:
        status = training.status
        if status is not None and status.progress is not None and status.delta is None and status.failure is None:
            yield Bar(training.spec.delta, status.progress.step, status.progress.steps, "steps", _learned(status.progress))


def _learned(progress: StepProgress) -> str:
    loss = f"loss {progress.loss:.3f}" if progress.loss is not None else ""
    speed = f"{progress.tokens_per_second} tokens/s" if progress.tokens_per_second else ""
    return "  ".join(part for part in (loss, speed) if part)


class _Done(ProgressColumn):
    """How much is done; of what has no end known, since when it has been going on."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return TimeElapsedColumn().render(task)
        return Text(f"{int(task.completed)}/{int(task.total)}", style="progress.download")


class _Rate(ProgressColumn):
    """Units done a second, or a minute where they are slow; empty as long as that is not known."""

    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        speed, units = task.speed, task.fields["units"]
        if not speed or not units:
            return Text()
        return Text(f"{speed:.1f} {units}/s" if speed >= 1 else f"{speed * 60:.1f} {units}/min", style="cyan")


class _TimeLeft(ProgressColumn):
    """How long it still takes at this rate."""

    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        if task.total is None or left is None or task.finished:
            return Text()
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left", style="cyan")
