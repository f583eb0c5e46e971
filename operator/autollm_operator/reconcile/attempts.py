"""The actions of one pass: tried one by one, and what stood in the way of one keeps no other from being tried."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from autollm.plan.problems import Problem
from autollm_operator.api.port import ForbiddenError, InvalidError, UnavailableError
from autollm_operator.reconcile.actions import carry_out
from autollm_operator.reconcile.breakdowns import PATIENCE, is_of_one_object, reason_of
from autollm_operator.reconcile.children import BeingDeleted, NotYet, Obstacle
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.obstacles import Deed, Obstacles, named

AT_ONCE = timedelta(0)
_log = logging.getLogger(__name__)

WRITES_OF_A_PASS = 200
"""Few enough that other objects have their turn soon."""

SECONDS_OF_A_PASS = 60.0
"""After which a pass begins no other action: it is over long before the operator seems to hang, however slowly the API server answers."""

COST_OF_A_FAILURE = 50
"""Writes for which one stands that the API server fails: a webhook that does not answer makes it take half a minute."""


class Attempts:
    """Carries actions out for one subject, and no more of them than one pass may.

    Args:
        patience: For how long nothing is said of what may pass by itself.

    Attributes:
        looks: The times from now at which another pass may do more.
    """

    def __init__(self, hands: Hands, obstacles: Obstacles, subject: Subject, *, patience: timedelta = PATIENCE) -> None:
        self._hands = hands
        self._obstacles = obstacles
        self._subject = subject
        self._patience = patience
        self._before = obstacles.without_effect(subject.uid)
        self._without_effect: set[str] = set()
        self._is_cut = False
        self._failures = 0
        self.looks: list[timedelta] = []
        self._left = WRITES_OF_A_PASS
        self._until = hands.seconds() + SECONDS_OF_A_PASS

    def all(self, actions: Iterable[Deed]) -> bool:
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

    def in_order(self, actions: Iterable[Deed]) -> bool:
        """Try these actions as `all` does, but none after one that the API server fails: a candidate follows from those before it."""
        changed, failures = False, self._failures
        for action in actions:
            changed = self.all([action]) or changed
            if self._failures > failures or self._is_cut:
                break
        return changed

    def may_write(self) -> bool:
        """Take one write of those that are left; where none is, or no time, another pass follows at once."""
        if self._left and self._hands.seconds() < self._until:
            self._left -= 1
            return True
        self.looks.append(AT_ONCE)
        return False

    def failed(self) -> None:
        """Count a write that the API server failed to make."""
        self._failures += 1
        self._left = max(0, self._left - COST_OF_A_FAILURE)

    def end(self) -> None:
        """Have the next pass go on where this one was cut: what had no effect now comes after what was not tried yet."""
        self._obstacles.set_without_effect(self._subject.uid, self._before | self._without_effect if self._is_cut else frozenset())

    def _try(self, action: Deed) -> bool:
        uid, now = self._subject.uid, self._subject.now
        try:
            changed = carry_out(self._hands, self._subject, action)
        except Obstacle as obstacle:
            self._obstacles.meet(uid, action, Problem(obstacle.reason, str(obstacle)), now)
            return False
        except (InvalidError, ForbiddenError) as error:
            self._obstacles.meet(uid, action, Problem(reason_of(error), f"A change that is needed is not allowed: {error}"), now)
            return False
        except UnavailableError as error:
            if not is_of_one_object(self._hands.api, error, self._subject.parent.namespace):
                raise
            self.failed()
            message = f"A change that is needed fails again and again, and is tried every few minutes: {error}"
            if self._has_lasted(action, Problem(reason_of(error), message)):
                _log.warning("%s", error, extra={"object": str(self._subject.key), "reason": error.reason})
            return False
        except BeingDeleted as early:
            message = f"For longer than a minute {early}: see whether one of its metadata.finalizers holds it."
            self._has_lasted(action, Problem("BeingDeleted", message))
            return False
        except NotYet:
            self._obstacles.wait(uid, action, now)
            return False
        self._obstacles.overcome(uid, action)
        return changed

    def _has_lasted(self, action: Deed, problem: Problem) -> bool:
        """Say whether something has been in the way for so long that it is told."""
        if self._obstacles.wait(self._subject.uid, action, self._subject.now) < self._patience:
            return False
        self._obstacles.meet(self._subject.uid, action, problem, self._subject.now)
        return True
