"""What actions are carried out with, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from autollm.resources.workers import Workers
from autollm_operator.api.port import Api
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.refusals import Refusals
from autollm_operator.reconcile.rendezvous import Rendezvous
from autollm_operator.reconcile.status import Statuses
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.settings import Settings


@dataclass(frozen=True)
class Hands:
    """What actions are carried out with; `seconds` is a clock that never goes back."""

    api: Api
    cache: Cache
    settings: Settings
    suggesting: Suggesting
    statuses: Statuses
    refusals: Refusals
    rendezvous: Rendezvous
    seconds: Callable[[], float]


@dataclass(frozen=True)
class Subject:
    """For whom they are carried out: a run, or a training or trial that belongs to none."""

    key: Key
    parent: Parent
    workers: Workers
    now: datetime

    @property
    def uid(self) -> str:
        """The uid of the run, training or trial."""
        return self.parent.owner.uid
