"""Waiting for a cluster to come to something."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], otherwise: str, *, seconds: float = 120.0, every: float = 0.05) -> None:
    """Ask until something holds, twenty times a second unless it lasts; raises RuntimeError saying what holds otherwise."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds:g} s, {otherwise}")
        time.sleep(every)
