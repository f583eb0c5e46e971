"""Which objects have to be looked at, and when: one worker for a key at a time, the earliest time wins, failures wait longer and longer."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable

from autollm_operator.cache.keys import Key

SHORTEST_BACKOFF, LONGEST_BACKOFF = 0.1, 30.0
"""Seconds to wait after a first failure, and at most: an API server that comes back is asked again within the latter."""


class WorkQueue:
    """Keys of objects, each of which is ready, worked on, or waits for its time; safe in any thread.

    A key that is added while it is worked on becomes ready again when that is done. Whatever is added before a worker takes the key is
    answered by that one pass, timers included: the pass sees everything and says anew when to look again.

    Args:
        clock: Seconds that never go back.
        jitter: A number between 0 and 1, by which a backoff is shortened by up to a half.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._changed = threading.Condition()
        self._ready: dict[Key, float] = {}
        self._working: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._timers: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._begun: float | None = None
        self._handed_out = self._clock()
        self._closed = False

    def begin(self) -> None:
        """Say that keys are taken from now on: in a replica that stands by nobody does, and nothing is late there."""
        with self._changed:
            self._begun = self._clock()

    def add(self, key: Key) -> None:
        """Have a key looked at as soon as a worker is free."""
        with self._changed:
            self._add(key, self._clock())

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key looked at in so many seconds, unless it is looked at before."""
        with self._changed:
            due = self._clock() + seconds
            if due < self._timers.get(key, float("inf")):
                self._timers[key] = due
                heapq.heappush(self._heap, (due, key))
                if self._heap[0] == (due, key):
                    self._changed.notify_all()  # every thread that waits has to know when: any of them may be given a key before

    def take(self, timeout: float | None = None) -> Key | None:
        """Wait for a key, and hand it out until it `succeeded` or `failed`; None after `close`, or when so many seconds have passed."""
        with self._changed:
            end = None if timeout is None else self._clock() + timeout
            while not self._closed:
                now = self._clock()
                self._ripen(now)
                if self._ready:
                    return self._hand_out(next(iter(self._ready)), now)
                if end is not None and now >= end:
                    return None
                times = [time for time in (end, self._heap[0][0] if self._heap else None) if time is not None]
                self._changed.wait(min(times) - now if times else None)
            return None

    def succeeded(self, key: Key) -> None:
        """Say that a key's pass is over: it is ready again if it was added meanwhile."""
        with self._changed:
            self._failures.pop(key, None)
            del self._working[key]
            if key in self._dirty:
                self._dirty.remove(key)
                self._add(key, self._clock())

    def failed(self, key: Key, *, at_least: float = 0.0) -> int:
        """Say that a key's pass failed, and return how often it has in a row.

        It is looked at again after twice the time of the last failure, and after `at_least` so many seconds. What was added during the
        pass waits as long: the pass itself may have caused it, and would go round and round.
        """
        with self._changed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            del self._working[key]
            self._dirty.discard(key)
            backoff: float = min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2 ** min(count - 1, 16))
            self.add_after(key, max(backoff * (1 - self._jitter() / 2), at_least))
            return count

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """Return how many keys are ready and wait for a worker."""
        with self._changed:
            self._ripen(self._clock())
            return len(self._ready)

    def oldest_age(self) -> float:
        """Return for how many seconds the key has waited that has been ready for longest; 0 where none waits, or nobody takes keys yet."""
        with self._changed:
            now = self._clock()
            self._ripen(now)
            begun = now if self._begun is None else self._begun
            return max((now - max(since, begun) for since in self._ready.values()), default=0.0)

    def standstill(self) -> float:
        """Return for how many seconds a key has been ready and no key was handed out: a long queue that moves stands not still."""
        with self._changed:
            return min(self.oldest_age(), self._clock() - self._handed_out)

    def longest_work(self) -> float:
        """Return for how many seconds the pass has been under way that began first; 0 where none is."""
        with self._changed:
            now = self._clock()
            return max((now - since for since in self._working.values()), default=0.0)

    def _add(self, key: Key, since: float) -> None:
        if key in self._working:
            self._dirty.add(key)
        elif key not in self._ready:
            self._ready[key] = since
            self._changed.notify()

    def _ripen(self, now: float) -> None:
        while self._heap and (self._heap[0][0] <= now or self._timers.get(self._heap[0][1]) != self._heap[0][0]):
            due, key = heapq.heappop(self._heap)
            if self._timers.get(key) == due:
                del self._timers[key]
                self._add(key, due)

    def _hand_out(self, key: Key, now: float) -> Key:
        del self._ready[key]
        self._timers.pop(key, None)
        self._working[key] = self._handed_out = now
        return key
