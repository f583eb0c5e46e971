"""What peers agree on, between two real processes: nobody is left waiting for one that failed or is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ports import free_port

TESTS = Path(__file__).parents[2]
Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Process]]:
    port = str(free_port())
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "support.peer_process", str(rank), port],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def said(process: Process) -> object:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_what_happens_to_one_is_known_to_both(processes: list[Process]) -> None:
    both = {
        "sum": 3.0,
        "stop": True,
        "memory": "OutOfMemory",
        "after": 2.0,
        "leader": {"made by": 0},
        "shared": [5.0, 5.0],
        "gradients": [3.0, 23.0, 21.0, 63.0],
    }
    first = {"input": "InputError", "away": "StoreUnavailableError", "between": "told", "failing leader": "InputError", "first": 0}
    second = {"input": "PeerError", "away": "PeerOutageError", "between": "OutOfMemory", "failing leader": "PeerError", "first": 1}
    assert said(processes[0]) == both | first
    assert said(processes[1]) == both | second


def test_one_that_is_gone_is_noticed_at_once(processes: list[Process]) -> None:
    stays, goes = processes
    assert stays.stdin is not None
    goes.kill()
    goes.wait()
    stays.stdin.write("\n")
    stays.stdin.flush()
    assert said(stays) == "PeerError"
