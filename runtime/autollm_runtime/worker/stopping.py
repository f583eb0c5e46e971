"""How a worker is asked to stop: the first SIGTERM or SIGINT is a request, the second takes it down."""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType


def stop_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets; both get their default effect back with it."""
    stop = threading.Event()

    def request(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # The lock inside an Event is not reentrant: set from here, while the interrupted main thread is in its wait(), it would hang.
        _thread.start_new_thread(stop.set, ())

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGINT, request)
    return stop
