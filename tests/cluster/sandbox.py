"""A corner of this machine with a network, processes and mounts of its own: when its first process ends, all of it is gone.

What runs in it needs no cleaning up after a test that was killed: the kernel ends the processes and drops mounts and network with them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.processes import Processes
from cluster.waiting import wait_until

ADDRESS = "198.18.0.1"
"""Where what listens inside is reached from the pods; of a range that is never routed."""

_FORWARD = Path(__file__).with_name("forward.py")
_CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "autollm-tests-"
# Where programs of a node leave files whatever they are told.
_PRIVATE = ("/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log")


@dataclass(frozen=True)
class Sandbox:
    """A corner that exists.

    Attributes:
        enter: What a command is run by, so that it runs inside.
        cgroup: The name of the control group, in every hierarchy, below which its containers are.
        processes: What tests started inside.
    """

    enter: Sequence[str]
    cgroup: str
    processes: Processes

    def run(self, *command: str | Path) -> str:
        """Run a command inside and return its output; raises RuntimeError with what it said where it fails."""
        done = subprocess.run([*self.enter, *map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def succeeds(self, *command: str | Path) -> bool:
        """Run a command inside and say whether it succeeds."""
        try:
            self.run(*command)
        except RuntimeError:
            return False
        return True

    def forward(self, port: int, host: str = ADDRESS) -> int:
        """Return a port of this machine's loopback on which what listens inside is reached, on `port` of the node or of a pod."""
        with socket.create_server(("127.0.0.1", 0)) as outside:
            # A socket stays in the network it was made in; its connections inside are made where the forwarder is.
            command = (sys.executable, _FORWARD, str(outside.fileno()), host, str(port))
            self.processes.start(f"forward-{host}-{port}", *command, pass_fds=[outside.fileno()])
            found: int = outside.getsockname()[1]
            return found


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Make a corner for the length of the block; only root can. Logs of what runs in it are in `folder`."""
    _remove_leftovers()
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    # With this signal ignored the kernel itself buries whom nobody waits for.
    sleep = ["sh", "-c", "trap '' CHLD; exec sleep infinity"]
    outer = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *unshare, *sleep], stdin=subprocess.DEVNULL)
    cgroup = f"{_PREFIX}{outer.pid}"
    enter = ["nsenter", "--target", _first_process(outer), "--net", "--mount", "--pid", "--"]
    inside = Sandbox(enter, cgroup, Processes(folder, enter))
    try:
        for hierarchy in hierarchies():
            (hierarchy / cgroup).mkdir()
        for path in _PRIVATE:
            Path(path).mkdir(parents=True, exist_ok=True)
            inside.run("mount", "-t", "tmpfs", "tmpfs", path)
        for command in (
            "link set lo up",
            "link add node0 type bridge",
            f"addr add {ADDRESS}/24 dev node0",
            "link set node0 up",
            "route add default via 198.18.0.254 dev node0",  # leads nowhere; programs want to see one
        ):
            inside.run("ip", *command.split())
        yield inside
    finally:
        inside.processes.stop()
        outer.kill()
        outer.wait()
        for hierarchy in hierarchies():
            _remove(hierarchy / cgroup)


def _first_process(outer: subprocess.Popen[bytes]) -> str:
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    wait_until(lambda: bool(children.read_text().split()) or outer.poll() is not None, "the sandbox has no process")
    with suppress(OSError, IndexError):
        return children.read_text().split()[0]
    raise RuntimeError(f"no sandbox could be made: unshare ended with {outer.wait()}")


def hierarchies() -> list[Path]:
    """The mounts below which each control group has a folder: one, or one for each controller."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in sorted(_CGROUPS.iterdir()) if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _remove(cgroup: Path) -> None:
    def empty() -> bool:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        return not cgroup.exists()

    wait_until(empty, f"the control group {cgroup} is still in use")


def _remove_leftovers() -> None:
    """Remove the control groups of sandboxes whose tests were killed: the one thing that stays, and empty."""
    for hierarchy in hierarchies():
        for path in hierarchy.glob(f"{_PREFIX}*"):
            command = Path("/proc", path.name.removeprefix(_PREFIX), "cmdline")
            if not command.exists() or not command.read_bytes():  # it has ended, whether or not somebody has waited for it
                _remove(path)


def missing_programs(names: Sequence[str]) -> list[str]:
    """Which of these programs this machine lacks."""
    return [name for name in names if shutil.which(name) is None]
