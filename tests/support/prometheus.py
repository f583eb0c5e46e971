"""A real Prometheus on this machine: Debian's, on a free port of the loopback, with the chart's rules; it ends with the block.

with prometheus(tmp_path, targets=["127.0.0.1:8080"]) as server:
    server.values("autollm_run_best_score")
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from cluster.waiting import wait_until
from support.ports import free_port

RULES = Path(__file__).parents[2] / "charts" / "autollm" / "files" / "rules.yaml"
MISSING = "this test needs Prometheus: install Debian's package prometheus (as root: make prometheus)"
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class Prometheus:
    """A server that runs, and what it is asked."""

    url: str
    process: subprocess.Popen[bytes]
    configuration: Path

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return the data of an answer of the API; raises OSError for a query that is wrong."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str, at: float | None = None) -> list[tuple[Mapping[str, str], float]]:
        """Return the series of an expression, with their values now or at a time."""
        found = self.get("query", query=expression, **({} if at is None else {"time": at}))["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def rules(self) -> list[Mapping[str, Any]]:
        """Return all rules with their health."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def scrape(self, targets: Sequence[str]) -> None:
        """Scrape these addresses from now on instead of those before."""
        self.configuration.write_text(_configuration(targets))
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def prometheus(folder: Path, *, targets: Sequence[str] = (), history: Path | None = None) -> Iterator[Prometheus]:
    """Run a server that scrapes twice a second; `history` is a folder of blocks that it knows from the start."""
    if shutil.which("prometheus") is None:
        raise RuntimeError(MISSING)
    configuration = folder / "prometheus.yaml"
    configuration.write_text(_configuration(targets))
    url = f"http://127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("ab") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={history or folder / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={url.removeprefix('http://')}",
            ],
            env=os.environ | {"GOMAXPROCS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_until_it_is_ready(url, process, folder / "prometheus.log")
        yield Prometheus(url, process, configuration)
    finally:
        process.kill()
        process.wait()


def blocks_of(samples: Path, folder: Path) -> Path:
    """Write samples with their times, in the form of OpenMetrics, into blocks of a Prometheus, and return their folder."""
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(samples), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{samples}: {done.stderr.strip()}")
    return folder


def _configuration(targets: Sequence[str]) -> str:
    job = {"job_name": "autollm", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    return yaml.safe_dump({"global": often, "rule_files": [str(RULES)], "scrape_configs": [job]})


def _wait_until_it_is_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    otherwise = f"Prometheus does not answer at {url}, and its log is {log}"
    wait_until(lambda: process.poll() is not None or _is_ready(url), otherwise, seconds=_READY_SECONDS)
    if process.poll() is not None:
        raise RuntimeError(f"Prometheus has ended:\n{log.read_text()}")


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/-/ready", timeout=5):
            return True
    except OSError:
        return False
