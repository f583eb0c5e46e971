"""Workers without the seconds that importing PyTorch takes: a lasting process has imported it, and forks a fork server for each engine.

    with warm_workers(folder) as program:
        ...  # `[*program, "serve"]` behaves as `autollm-runtime serve` does

The fork gets the descriptors, the environment, the folder and the limits of whoever calls the program, so that it differs from a new
process in its speed alone.
"""

from __future__ import annotations

import array
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STANDARD = (0, 1, 2)
_LONGEST = 1 << 20


@contextmanager
def warm_workers(folder: Path) -> Iterator[list[str]]:
    """Start the lasting process and yield the command of the program that asks it; it ends with the block."""
    place = folder / "socket"
    with (folder / "warm.log").open("wb") as log:
        command = [sys.executable, __file__, "stay", str(place)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError((folder / "warm.log").read_text())
        yield [sys.executable, "-S", __file__, str(place)]
    finally:
        process.kill()
        process.communicate()


def _stay(place: str) -> None:
    """Import everything once, then fork a fork server for whoever connects."""
    from autollm_runtime.worker.serve import preload

    with socket.socket(socket.AF_UNIX) as listener:
        preload()
        listener.bind(place)
        listener.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(caller)
            caller.close()


def _become(caller: socket.socket) -> None:
    """Take the caller's surroundings over and serve in its place."""
    from autollm_runtime.cli import main

    message, control, _, _ = caller.recvmsg(_LONGEST, socket.CMSG_LEN(len(_STANDARD) * array.array("i").itemsize))
    descriptors = array.array("i", control[0][2])
    for target, descriptor in zip(_STANDARD, descriptors, strict=True):
        os.dup2(descriptor, target)
        os.close(descriptor)
    told = json.loads(message)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    resource.setrlimit(resource.RLIMIT_FSIZE, tuple(told["file_limit"]))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os._exit(main(["serve"]))


def _ask(place: str) -> None:
    """Hand the own surroundings over, and end when the fork server has."""
    told = {"environment": dict(os.environ), "folder": str(Path.cwd()), "file_limit": resource.getrlimit(resource.RLIMIT_FSIZE)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        server.sendmsg([json.dumps(told).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", _STANDARD))])
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in _STANDARD:
            os.dup2(nothing, descriptor)
        server.recv(1)


if __name__ == "__main__":
    _stay(sys.argv[2]) if sys.argv[1] == "stay" else _ask(sys.argv[1])
