"""How a worker's process begins and ends: its own session, its own log, default signals, death with its parent, and an end at once."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from autollm.contract.exit_codes import ExitCode

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def fork_worker(body: Callable[[], int], *, log: Path, cwd: Path | None, close: Iterable[int] = ()) -> int:
    """Fork a process that runs `body` and exits with what it returns; return its process id at once.

    Its standard output and error are appended to `log`, its standard input is empty. It leads a session of its own, so
    that it can be killed with all it started, and the kernel kills it when this process ends, however that happens.
    The descriptors in `close` stay the parent's alone.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code: int = ExitCode.FAILED
    try:
        die_with_parent(parent)
        os.setsid()
        _reset_signals()
        for descriptor in close:
            os.close(descriptor)
        _redirect(log)
        if cwd is not None:
            os.chdir(cwd)
        code = body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = ExitCode.FAILED
    finally:
        # Not sys.exit: what the parent registered with atexit, and its frames, are not the child's to run.
        end_at_once(code)


def end_at_once(code: int) -> NoReturn:
    """End this process, once all that it has written is out, without the interpreter's own end."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def kill_session(pid: int) -> None:
    """Kill a worker and every process of its session's group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It was forked a moment ago and leads no group yet.
        os.kill(pid, signal.SIGKILL)


def count_threads() -> int:
    """Return how many threads this process has; a fork copies only the one that calls it."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that forked it ends, however that happens."""
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((empty, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(empty)
    # The buffers of the parent's streams went out before the fork; line buffering keeps the log current.
    sys.stdin, sys.stdout, sys.stderr = (
        open(0, closefd=False),  # noqa: SIM115  # lives as long as the process
        open(1, "w", buffering=1, closefd=False),  # noqa: SIM115  # lives as long as the process
        open(2, "w", buffering=1, closefd=False),  # noqa: SIM115  # lives as long as the process
    )
