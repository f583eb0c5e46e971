"""Progress for people: a port of few verbs, and the plain form of it, a line for every event."""

from __future__ import annotations

from typing import IO, Protocol

from autollm.plan.landscape import failure_of, is_pending
from autollm.plan.plan import Plan
from autollm.plan.snapshot import Snapshot
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial


class Progress(Protocol):
    """Where an engine shows how its run is doing."""

    def show(self, snapshot: Snapshot, plan: Plan) -> None:
        """Show the run as it stands; called whenever it was planned, and about once a second while work goes on."""
        ...

    def tell(self, message: str) -> None:
        """Tell something that passes, such as a worker that is tried again."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class PlainProgress:
    """A line for every event: what began, each delta, each trial, and how it ended. For logs and where there is no terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._told: set[str] = set()
        self._stage: str | None = None

    def show(self, snapshot: Snapshot, plan: Plan) -> None:
        """Write what is new; what was done before this engine began is not."""
        children: list[DeltaTraining | MergeTrial] = [*snapshot.trainings, *snapshot.trials]
        if self._stage is None:
            self._told = {child.metadata.name for child in children if _line(child) is not None}
        for child in children:
            self._once(child.metadata.name, _line(child))
        if plan.state.reason != self._stage:
            self._stage = plan.state.reason
            self._write(f"{plan.state.reason}: {plan.state.message}")

    def tell(self, message: str) -> None:
        """Write one line."""
        self._write(message)

    def close(self) -> None:
        """Nothing is to be undone."""

    def _once(self, name: str, line: str | None) -> None:
        if line is not None and name not in self._told:
            self._told.add(name)
            self._write(line)

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _line(child: DeltaTraining | MergeTrial) -> str | None:
    return _training_line(child) if isinstance(child, DeltaTraining) else _trial_line(child)


def _training_line(training: DeltaTraining) -> str | None:
    status = training.status
    if status is None or status.delta is None:
        return None
    if status.reused:
        return f"delta {training.spec.delta}: reused"
    took = f" in {status.delta.seconds} s" if status.delta.seconds is not None else ""
    loss = f", loss {status.delta.loss}" if status.delta.loss is not None else ""
    return f"delta {training.spec.delta}: trained{took}{loss}"


def _trial_line(trial: MergeTrial) -> str | None:
    if is_pending(trial):
        return None
    called = f"{trial.spec.split.lower()} trial {trial.spec.number}" + (f" ({trial.spec.name})" if trial.spec.name else "")
    failure = failure_of(trial)
    if failure is not None:
        return f"{called}: failed, {failure.reason}: {failure.message}"
    return f"{called}: {trial.status.score if trial.status else ''} ± {trial.status.standard_error if trial.status else ''}"
