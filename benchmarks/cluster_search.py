"""How an operator keeps up with its searches, on a real API server with workers that only report: no container is started.

`busy`: runs at once, each with trials of 20 to 40 s in 4 slots; from a trial's result to the next trial in that slot, by a clock beside
the API server, and the operator's memory. `growth`: runs of 50 short trials, a few at a time, until there are thousands; the operator's
processor time and requests for a trial at the end against those at the beginning. Each prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from cluster.cluster import Cluster
from cluster.own import started
from support.operator_process import OperatorProcess, running_operator
from support.simulated_pods import SimulatedPods

SOURCES = ("math", "code", "chat", "tone")
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("busy", "growth"))
    parser.add_argument("--runs", type=int, default=20, help="of busy: runs at once")
    parser.add_argument("--trials", type=int, default=50, help="trials of each run")
    parser.add_argument("--seconds", type=float, default=30.0, help="of busy: how long a trial takes on average, a third more or less")
    parser.add_argument("--total", type=int, default=5000, help="of growth: trials in all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autollm-bench-") as folder, started(Path(folder)) as cluster:
        if options.what == "busy":
            line = busy(cluster, Path(folder), options.runs, options.trials, options.seconds)
        else:
            line = growth(cluster, Path(folder), options.trials, options.total)
    print(json.dumps(line | {"threads": os.cpu_count()}))


def busy(cluster: Cluster, folder: Path, runs: int, trials: int, seconds: float) -> dict[str, object]:
    """Let all runs search at the same time; the target is a second at the 95th percentile, 300 MiB, and 6 writes a trial."""
    namespace = cluster.namespace()
    drawn = random.Random(0)
    took = {"trial": lambda: drawn.uniform(seconds * 2 / 3, seconds * 4 / 3)}
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: took.get(what, lambda: 0.5)())
    with operator(cluster, folder, namespace) as process, pods:
        for number in range(runs):
            apply(cluster, namespace, f"run-{number}", trials, {})
        wait_for(cluster, namespace, runs)
        after = process.usage()
    waits = sorted(moment.next_seen - moment.scored for moment in pods.moments)
    scored = sum(not task.count("-prepare-") and not task.count("-publish-") for task in pods.done)
    steps = quantiles(waits, n=100)
    return {
        "benchmark": "cluster_search",
        "runs": runs,
        "trials": scored,
        "seconds": round(steps[94], 3),
        "target": 1.0,
        "median": round(steps[49], 3),
        "p99": round(steps[98], 3),
        "memoryMiB": after.memory,
        "suggesterMiB": after.children,
        "writesPerTrial": round(after.writes / scored + 1, 2),
        "operatorCpuMsPerTrial": round(1000 * after.cpu / scored, 1),
        "loopLagP99AtMost": after.lag,
    }


def growth(cluster: Cluster, folder: Path, trials: int, total: int) -> dict[str, object]:
    """Let short runs follow one another and compare what a trial costs, early and late; the target is a ratio of 1.2."""
    namespace = cluster.namespace()
    costs: list[tuple[int, float, float]] = []
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: 2.0 if what == "trial" else 0.1)
    at_once = 4
    with operator(cluster, folder, namespace) as process, pods:
        for first in range(0, total // trials, at_once):
            before = process.usage()
            done = len(pods.done)
            for number in range(first, first + at_once):
                apply(cluster, namespace, f"run-{number}", trials, {"optimizer": {"random": {}}})
            wait_for(cluster, namespace, first + at_once)
            after, made = process.usage(), len(pods.done) - done
            costs.append((trials * (first + at_once), (after.cpu - before.cpu) / made, (after.requests - before.requests) / made))
            print(f"{costs[-1][0]} trials: {1000 * costs[-1][1]:.1f} ms, {costs[-1][2]:.2f} requests a trial", file=sys.stderr, flush=True)
    # The first runs also pay for what is loaded once.
    early, middle, late = costs[1], min(costs[1:], key=lambda cost: abs(cost[0] - total / 5)), costs[-1]
    return {
        "benchmark": "cluster_growth",
        "trials": [early[0], middle[0], late[0]],
        "ratio": round(late[1] / early[1], 2),
        "ratioMiddle": round(middle[1] / early[1], 2),
        "requestRatio": round(late[2] / early[2], 2),
        "target": 1.2,
        "cpuMsPerTrial": [round(1000 * cost, 1) for _, cost, _ in costs],
        "requestsPerTrial": [round(early[2], 2), round(late[2], 2)],
        "memoryMiB": after.memory,
    }


@dataclass(frozen=True)
class Usage:
    """What an operator has used since its start: seconds of processor time without its suggesting process, the highest memory in MiB.

    `lag`: The seconds that its event loop was not later than in 99 of 100 turns, as far as the histogram tells.
    """

    cpu: float
    memory: int
    children: int
    requests: float
    writes: float
    lag: float


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process: OperatorProcess

    def usage(self) -> Usage:
        """Read what the kernel and its own metrics say."""
        pid = self.process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = {child for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)}
        scraped = self.process.metrics().splitlines()
        requests = [line for line in scraped if line.startswith("autollm_api_requests_total{")]
        writes = [line for line in requests if any(f'verb="{verb}' in line for verb in ("create", "apply", "patch", "delete"))]
        return Usage(
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
            memory=_highest(str(pid)),
            children=sum(map(_highest, children)),
            requests=sum(float(line.rsplit(" ", 1)[1]) for line in requests),
            writes=sum(float(line.rsplit(" ", 1)[1]) for line in writes),
            lag=_late(scraped),
        )


def _late(scraped: list[str]) -> float:
    buckets = [line for line in scraped if line.startswith("autollm_event_loop_lag_seconds_bucket{")]
    counts = {float(line.split('"')[1]): float(line.rsplit(" ", 1)[1]) for line in buckets}
    return min(bound for bound, count in counts.items() if count >= 0.99 * max(counts.values()))


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []  # a thread that has ended since it was listed has none


def _highest(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))


@contextmanager
def operator(cluster: Cluster, folder: Path, namespace: str) -> Iterator[Operator]:
    """Run the operator's own program beside the cluster until the block ends."""
    with running_operator(folder, cluster.kubeconfig, namespace) as process:
        process.wait_ready()
        yield Operator(process)


def apply(cluster: Cluster, namespace: str, name: str, trials: int, search: dict[str, object]) -> None:
    """Create a run whose sources and artifacts nobody reads."""
    spec = {
        "model": {"uri": "hf://example/model"},
        "artifacts": {"uri": "s3://artifacts/run"},
        "sources": [{"name": source, "file": {"uri": f"s3://data/{source}.jsonl"}} for source in SOURCES],
        "training": {"methods": [{"name": "sft", "sft": {}}]},
        "search": {"trials": trials, "parallelism": 4} | search,
    }
    path = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns"
    cluster.create(path, {"kind": "AutoLLMRun", "metadata": {"name": name}, "spec": spec})


def wait_for(cluster: Cluster, namespace: str, runs: int) -> None:
    """Wait until all runs have ended well."""
    while True:
        items = cluster.admin.expect("GET", f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns")["items"]
        ended = [
            condition for run in items for condition in run.get("status", {}).get("conditions", []) if condition["type"] == "Succeeded"
        ]
        if any(condition["status"] == "False" for condition in ended):
            raise SystemExit(f"a run failed: {[condition for condition in ended if condition['status'] == 'False'][:1]}")
        if sum(condition["status"] == "True" for condition in ended) == runs:
            return
        time.sleep(1)


if __name__ == "__main__":
    main()
