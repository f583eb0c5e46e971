"""Live progress in a terminal: the overview of the run, and a bar with rate and time left for what is going on."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from autollm.plan.landscape import is_pending
from autollm.plan.plan import Plan
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Working
from autollm.report.overview import overview
from autollm.report.state import RunState

STEPS, TRIALS = "steps", "trials"


class RateColumn(TextColumn):
    """Units done a second, or a minute where they are slow."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the rate, empty as long as it is not known."""
        speed, unit = task.speed, task.fields["unit"]
        if not speed or not unit:
            return Text("")
        return Text(f"{speed:.1f} {unit}/s" if speed >= 1 else f"{speed * 60:.1f} {unit}/min", style="cyan")


class LiveProgress:
    """The overview and the bars, drawn in place; what is told stays above them."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._known: dict[str, TaskID] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, snapshot: Snapshot, plan: Plan) -> None:
        """Draw the run as it stands."""
        work = _work(snapshot, plan)
        for name in self._known.keys() - work.keys():
            self._bars.remove_task(self._known.pop(name))
        for name, (done, total, unit) in work.items():
            if name not in self._known:
                self._known[name] = self._bars.add_task(name, total=total, completed=done, unit=unit)
            self._bars.update(self._known[name], completed=done, total=total)
        self._live.update(Group(overview(RunState(snapshot.run, snapshot.trainings, snapshot.trials)), Text(), self._bars))

    def tell(self, message: str) -> None:
        """Print a line above."""
        self._live.console.print(message, style="yellow", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was; what came of the run is printed by whoever ran it."""
        self._live.stop()


def _work(snapshot: Snapshot, plan: Plan) -> dict[str, tuple[int, int | None, str]]:
    """Return what is going on, by name: how much is done, of how much if that is known, in which unit."""
    state = plan.state
    if not isinstance(state, Working):
        return {}
    if state.reason == "Training":
        return {
            training.spec.delta: (training.status.progress.step, training.status.progress.steps, STEPS)
            for training in snapshot.trainings
            if training.status and training.status.progress and training.status.delta is None and training.status.failure is None
        }
    if state.reason == "Searching":
        newest = max(snapshot.trials, key=lambda trial: trial.metadata.creation_timestamp or "", default=None)
        found = [trial for trial in snapshot.trials if newest is not None and trial.spec.landscape == newest.spec.landscape]
        return {"Searching": (sum(not is_pending(trial) for trial in found), snapshot.spec.search.trials, TRIALS)}
    return {state.reason: (0, None, "")}
