"""Ports for servers that tests start: chosen now, bound by another process seconds later."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

# The kernel gives out ports from 32768 on to whoever asks for any, so one of those might be taken before its server binds it.
_FIRST, _COUNT = 20_000, 10_000
_LAST_TOLD = Path(tempfile.gettempdir(), f"autollm-test-port-{os.getuid()}")


def free_port() -> int:
    """Return a port on which nothing listens, and that nobody else is told until ten thousand others were."""
    with _LAST_TOLD.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        told = int(file.read() or _FIRST)
        following = (_FIRST + (told + step - _FIRST) % _COUNT for step in range(1, _COUNT + 1))
        port = next(port for port in following if _is_free(port))
        file.truncate(0)
        file.write(str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
