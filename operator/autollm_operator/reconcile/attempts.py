"""The actions of one pass: tried one by one, and what stood in the way of one keeps no other from being tried."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from autollm.plan.actions import Action
from autollm.plan.problems import Problem
from autollm_operator.api.port import ForbiddenError, InvalidError
from autollm_operator.reconcile.actions import Hands, Subject, carry_out
from autollm_operator.reconcile.children import BeingDeleted, NotYet, Obstacle
from autollm_operator.reconcile.obstacles import LONGEST_WAIT, Obstacles

AT_ONCE = timedelta(0)
SOON = timedelta(seconds=1)
"""Until what is being deleted is gone, or the cache knows what others did in between."""

PATIENCE = timedelta(minutes=1)
"""With what is being deleted: pods save and end meanwhile, or a finalizer of somebody else's holds it."""


class Attempts:
    """Carries actions out for one subject; `looks` are the times from now at which another pass may do more."""

    def __init__(self, hands: Hands, obstacles: Obstacles, subject: Subject) -> None:
        self._hands = hands
        self._obstacles = obstacles
        self._subject = subject
        self.looks: list[timedelta] = []

    def all(self, actions: Iterable[Action]) -> bool:
        """Try every one of these actions; say whether any changed anything. Raises the errors of the API that may pass."""
        changed = False
        for action in actions:
            changed |= self._try(action)
        return changed

    def _try(self, action: Action) -> bool:
        uid, now = self._subject.uid, self._subject.now
        if not self._obstacles.is_due(uid, action, now):
            return False
        try:
            changed = carry_out(self._hands, self._subject, action)
        except Obstacle as obstacle:
            self._obstacles.meet(uid, action, Problem(obstacle.reason, str(obstacle)), now)
            return False
        except (InvalidError, ForbiddenError) as error:
            reason = "Forbidden" if isinstance(error, ForbiddenError) else "Refused"
            self._obstacles.meet(uid, action, Problem(reason, f"A change that is needed is not allowed: {error}"), now)
            return False
        except NotYet as early:
            waited = self._obstacles.waited(uid, action, now)
            if isinstance(early, BeingDeleted) and waited >= PATIENCE:
                message = f"For longer than a minute {early}: see whether one of its metadata.finalizers holds it."
                self._obstacles.meet(uid, action, Problem("BeingDeleted", message), now)
            else:
                self.looks.append(max(SOON, min(waited, LONGEST_WAIT)))
            return False
        self._obstacles.overcome(uid, action)
        return changed
