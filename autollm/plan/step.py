"""What one decision comes to: what is to be done, what is known now, and whether the next decision can follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from autollm.plan.actions import Action

ConditionType = Literal["Validated", "DataReady", "DeltasReady", "SearchComplete", "Published", "Reconciling", "Stalled", "Succeeded"]
Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Verdict:
    """A condition without its times."""

    type: ConditionType
    status: Truth
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Working:
    """The run goes on: later decisions wait for what this one asked for."""

    reason: str
    message: str


@dataclass(frozen=True)
class Paused:
    """Nothing is to be done until somebody changes the run."""

    reason: str
    message: str


@dataclass(frozen=True)
class Ended:
    """The run has come to its end, well or not: one that has not succeeded waits for somebody, or for its next round."""

    succeeded: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Step:
    """The outcome of one decision.

    Attributes:
        state: None lets the next decision follow; anything else is how the run stands.
        tasks: Ids of the tasks that may run on, because their report is still needed or is there and they are about to end by
            themselves; every other running task is stopped.
        fields: Status fields of the run that this decision sets.
        look_again: When the plan changes by the mere passing of time.
    """

    state: Working | Paused | Ended | None = None
    verdicts: tuple[Verdict, ...] = ()
    actions: tuple[Action, ...] = ()
    tasks: frozenset[str] = frozenset()
    fields: Mapping[str, Any] = field(default_factory=dict)
    look_again: datetime | None = None
