"""The actions of one pass: tried one by one, and what stood in the way of one keeps no other from being tried."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from autollm.plan.actions import Action
from autollm.plan.problems import Problem
from autollm_operator.api.port import ForbiddenError, InvalidError
from autollm_operator.reconcile.actions import Hands, Subject, carry_out
from autollm_operator.reconcile.children import BeingDeleted, NotYet, Obstacle
from autollm_operator.reconcile.obstacles import LONGEST_WAIT, Obstacles, named

AT_ONCE = timedelta(0)
SOON = timedelta(seconds=1)
"""Until what is being deleted is gone, or the cache knows what others did in between."""

PATIENCE = timedelta(minutes=1)
"""With what is being deleted: pods save and end meanwhile, or a finalizer of somebody else's holds it."""


WRITES_OF_A_PASS = 200
"""Few enough that a pass is over long before the operator seems to hang, however slowly the API server answers."""


class Attempts:
    """Carries actions out for one subject, and no more of them than one pass may.

    Attributes:
        looks: The times from now at which another pass may do more.
    """

    def __init__(self, hands: Hands, obstacles: Obstacles, subject: Subject) -> None:
        self._hands = hands
        self._obstacles = obstacles
        self._subject = subject
        self._before = obstacles.without_effect(subject.uid)
        self._without_effect: set[str] = set()
        self._is_cut = False
        self.looks: list[timedelta] = []
        self._left = WRITES_OF_A_PASS

    def all(self, actions: Iterable[Action]) -> bool:
        """Try these actions in order until the pass is long enough; say whether any changed anything.

        Raises the errors of the API that may pass.
        """
        changed = False
        for action in actions:
            if not self._obstacles.is_due(self._subject.uid, action, self._subject.now) or named(action) in self._before:
                continue
            if not self.may_write():
                self._is_cut = True
                break
            if self._try(action):
                changed = True
            else:
                self._without_effect.add(named(action))
        return changed

    def may_write(self) -> bool:
        """Take one write of those that are left; where none is, another pass follows at once."""
        if self._left:
            self._left -= 1
            return True
        self.looks.append(AT_ONCE)
        return False

    def end(self) -> None:
        """Have the next pass go on where this one was cut: what had no effect now comes after what was not tried yet."""
        self._obstacles.set_without_effect(self._subject.uid, self._before | self._without_effect if self._is_cut else frozenset())

    def _try(self, action: Action) -> bool:
        uid, now = self._subject.uid, self._subject.now
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
