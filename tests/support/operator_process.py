"""The operator's own program beside a real API server, to be killed and started again at will."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from cluster.waiting import wait_until
from support.ports import free_port


@dataclass
class OperatorProcess:
    """One replica of the operator, which watches some namespaces with what a kubeconfig lets it do."""

    folder: Path
    kubeconfig: Path
    namespaces: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the one that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> list[dict[str, Any]]:
        """What all processes so far have logged."""
        lines = (self.folder / "operator.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def start(self) -> None:
        """Start the program; what it does then is to be waited for."""
        workers = {"image": "localhost/simulated:1"}
        settings = {"namespaces": self.namespaces, "workers": workers, "port": self.port, "host": "127.0.0.1"} | self.settings
        path = self.folder / "settings.yaml"
        path.write_text(yaml.safe_dump(settings))
        program = [str(Path(sys.executable).with_name("autollm-operator")), "--settings", str(path)]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "OMP_NUM_THREADS": "1"} | self.environment
        with (self.folder / "operator.log").open("ab") as log:
            self._process = subprocess.Popen(program, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it at once, as a node that fails does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as its node does when it is drained, and return its exit code."""
        return self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def answers(self, path: str) -> bool:
        """Say whether a probe succeeds."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self) -> str:
        """Scrape it once."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    def wait_ready(self) -> None:
        """Wait until it has listed everything."""
        wait_until(lambda: self.answers("/readyz"), f"the operator is not ready; see {self.folder / 'operator.log'}", seconds=60)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(60)


@contextmanager
def running_operator(folder: Path, kubeconfig: Path, *namespaces: str, **settings: Any) -> Iterator[OperatorProcess]:
    """Run one replica until the block ends."""
    operator = OperatorProcess(folder, kubeconfig, list(namespaces), settings)
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()
