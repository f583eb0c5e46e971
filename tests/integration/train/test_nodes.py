"""One node of a training on several, while the others are not here yet: it waits, stops when asked, and says when they have gone again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # PyTorch says nowhere what it exports

from autollm.contract.exit_codes import ExitCode
from cluster.waiting import wait_until
from support.ports import free_port

LONG = 500
"""Seconds within which anything comes about, however busy the machine is."""

NEVER = 24 * 3600
"""How long a node waits for the others here: longer than any test."""

LISTENS = " 0A "
"""How the kernel's table writes the state of a socket that takes connections."""

ROLE = "none/torchelastic/role_info/1"
"""What the second node's torchrun leaves with the first one, before it asks for its rank."""


class Pod:
    """One of three nodes, started as a pod starts it; its worker would only say that it has begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()

    @contextmanager
    def started(self, node: int) -> Iterator[subprocess.Popen[bytes]]:
        meeting = ["--master-addr=localhost", f"--master-port={self.port}", f"--rdzv-conf=timeout={NEVER}"]
        options = ["--nnodes=3", f"--node-rank={node}", *meeting, "--nproc-per-node=1"]
        worker = ["echo", "begun", "--termination", str(self._folder / "end"), "--scratch", str(self._folder / "scratch")]
        command = [sys.executable, "-m", "autollm_runtime.worker.torchrun", *options, "--", *worker]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def listens(self) -> bool:
        sockets = [line for path in ("tcp", "tcp6") for line in Path("/proc/net", path).read_text().splitlines()]
        return any(f":{self.port:04X} " in line and LISTENS in line for line in sockets)

    @property
    def end(self) -> dict[str, str]:
        document: dict[str, str] = json.loads((self._folder / "end").read_text())
        return document

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_a_node_that_waits_for_others_stops_when_asked(pod: Pod) -> None:
    with pod.started(node=0) as process:
        wait_until(lambda: pod.listens() or process.poll() is not None, "it does not wait for the others", seconds=LONG)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == ExitCode.STOPPED, pod.log
    assert pod.end["reason"] == "Interrupted"
    assert "begun" not in pod.log


def test_a_first_node_that_goes_again_costs_the_others_no_retry(pod: Pod) -> None:
    first = [TCPStore("localhost", pod.port, 3, is_master=True, timeout=timedelta(seconds=LONG), wait_for_workers=False)]
    with pod.started(node=1) as process:
        # It has said that it is here, and asks for the rank that the first node gives out when all are.
        wait_until(lambda: first[0].check([ROLE]) or process.poll() is not None, "it does not come", seconds=LONG)
        first.clear()
        assert process.wait(LONG) == ExitCode.UNAVAILABLE, pod.log
    assert pod.end["reason"] == "PeerFailed"
    assert "the first node of this training went away" in pod.end["message"]
