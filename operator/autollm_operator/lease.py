"""Which of several replicas works: the one that holds a Lease, as client-go's leader election does it.

The official client brings an election too. It is not used, because it would go on leading where it must not: its deadline counts by the
wall clock, a request that hangs has no limit, one that is refused at the connection ends the thread, and nothing gives the Lease back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autollm_operator.api.port import Api, ApiError, ConflictError, Document, NotFoundError, UnavailableError
from autollm_operator.api.resources import LEASES

_log = logging.getLogger(__name__)

LEASE_SECONDS, HOLD_SECONDS, RENEW_SECONDS, LOOK_SECONDS = 15, 10.0, 2.0, 1.0
"""Others wait for LEASE_SECONDS since they saw it renewed last; its holder stops HOLD_SECONDS after it last asked to renew it with success.

Both count on their own clock from an instant that they saw themselves, so that no difference between clocks, only between their rates,
could let two of them work: one would have to run half as fast again as the other.
"""


@dataclass(frozen=True)
class _Seen:
    """A Lease as it was last found changed, and when, by this process's clock."""

    version: str
    at: float


class Lease:
    """One candidate for a Lease; `attempt` and `release` belong to one thread, `held` to any.

    Args:
        api: With time limits well below HOLD_SECONDS.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Which no other process has, nor had.
        clock: Seconds that never go back, and pass while the process sleeps.
        now: The time that people read in the Lease; nothing is decided by it.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._namespace, self._name = namespace, name
        self._identity = identity
        self._clock = clock
        self._now = now
        self._seen: _Seen | None = None
        self._until = float("-inf")
        self._refusal = "the Lease has not been asked for yet"

    def held(self) -> bool:
        """Say whether this candidate may work at this instant."""
        return self._clock() < self._until

    def refusal(self) -> str:
        """Return why this candidate could not hold the Lease even if it were free, or nothing: of the last attempt that was answered."""
        return self._refusal

    def attempt(self) -> bool:
        """Take the Lease if it is free, or renew it; make it where there is none. Say whether it is held; raises ApiError."""
        try:
            held = self._attempt()
        except UnavailableError:
            raise
        except ApiError as error:
            self._refusal = str(error)
            raise
        self._refusal = ""
        return held

    def release(self) -> None:
        """Give the Lease back, so that another candidate need not wait; raises ApiError."""
        if not self.held():
            return
        self._until = float("-inf")
        lease = self._api.get(LEASES, self._namespace, self._name)
        if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
            spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()}
            self._patch(lease["metadata"]["resourceVersion"], spec)

    def _attempt(self) -> bool:
        begun = self._clock()
        lease = self._found()
        version, spec = lease["metadata"]["resourceVersion"], lease.get("spec") or {}
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, self._clock())
        holder = spec.get("holderIdentity")
        # Given back, it has an empty holder; without any it is new, perhaps after one that was deleted, whose holder may still work.
        free = holder == "" or holder == self._identity or (holder is None and self.held())
        if not free and self._clock() < self._seen.at + (spec.get("leaseDurationSeconds") or LEASE_SECONDS):
            return False
        term = {} if holder == self._identity else {"acquireTime": self._time(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        return self._write(version, {**self._ours(), **term}, begun)

    def _found(self) -> Document:
        try:
            return self._api.get(LEASES, self._namespace, self._name)
        except NotFoundError:  # nobody else makes it: GitOps tools leave Leases out, and somebody may delete it
            return self._api.ensure(LEASES, self._namespace, self._name)

    def _write(self, version: str, spec: dict[str, Any], begun: float) -> bool:
        try:
            self._patch(version, spec)
        except ConflictError:
            return False
        self._until = begun + HOLD_SECONDS
        return True

    def _patch(self, version: str, spec: dict[str, Any]) -> None:
        self._api.patch(LEASES, self._namespace, self._name, {"metadata": {"resourceVersion": version}, "spec": spec})

    def _ours(self) -> dict[str, Any]:
        return {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": self._time()}

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def contend(lease: Lease, begin: Callable[[], None], stop: threading.Event) -> None:
    """Try to get the Lease until it is held, `begin` once, and renew it until it is lost or `stop` is set.

    Whoever works has to ask `held` at any rate: a request that hangs keeps this thread past the end of the Lease.
    """
    begun, told = False, ""
    while not stop.is_set():
        held, reason = False, ""
        try:
            held = lease.attempt()
        except ApiError as error:
            reason = error.reason
            if reason != told:
                _log.warning("%s", error, extra={"reason": reason})
        told = reason
        if held and not begun:
            begun = True
            _log.info("this replica holds the lease and begins to work")
            begin()
        if begun and not lease.held():
            return
        stop.wait(RENEW_SECONDS if begun else LOOK_SECONDS)
