"""No thread dies alone: without any one of its own the operator would look well and do nothing."""

from __future__ import annotations

import logging
import os
import threading

_log = logging.getLogger(__name__)


def end_with_any() -> None:
    """Have the process end with exit code 1, at once, when an error ends one of its threads: nothing is kept in it that is missed then."""
    threading.excepthook = _end


def _end(ended: threading.ExceptHookArgs) -> None:
    name, error = ended.thread.name if ended.thread else "unknown", ended.exc_value
    _log.critical("the thread %s has died, so the operator ends", name, exc_info=error)
    os._exit(1)
