"""How soon an operator that starts among many trials is ready, and what their events cost it; on a real API server, in which nothing runs.

Ready is when everything is listed and a pass can begin: the time from the start of the program, of which its imports are part. Then
every trial is changed once, by eight clients at a time, and the operator's processor time until it is idle again is divided among them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from autollm_operator.api.resources import RUNS, TRIALS
from cluster.cluster import Cluster
from cluster.own import started
from support import stages
from support.api_contract import run_document
from support.operator_process import OperatorProcess, running_operator

TARGET = 5.0
CLIENTS = 8
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="trials that have a result, of one run")
    parser.add_argument("--repeats", type=int, default=3, help="starts, of which the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autollm-bench-") as folder, started(Path(folder)) as cluster:
        line = measure(cluster, Path(folder), options.trials, options.repeats)
    print(json.dumps({"benchmark": "cluster_start"} | line | {"threads": os.cpu_count()}))


def measure(cluster: Cluster, folder: Path, trials: int, repeats: int) -> dict[str, object]:
    """Make the trials, start the operator again and again, then let it take an event of each."""
    namespace = cluster.namespace()
    api = KubernetesApi(configuration(str(cluster.kubeconfig), connections=CLIENTS))
    names = make(api, namespace, trials)
    seconds = []
    for _ in range(repeats):
        with running_operator(folder, cluster.kubeconfig, namespace) as operator:
            begun = time.monotonic()
            while not operator.answers("/readyz"):
                time.sleep(0.02)
            seconds.append(time.monotonic() - begun)
            cpu_to_ready = cpu(operator)
            memory = highest_memory(operator)
            if len(seconds) == repeats:
                events = take_events(api, operator, namespace, names)
    ready = median(seconds)
    return {
        "trials": trials,
        "seconds": round(ready, 2),
        "target": TARGET,
        "ratio": round(ready / TARGET, 2),
        "cpuSeconds": round(cpu_to_ready, 2),
        "memoryMiB": memory,
        **events,
    }


def make(api: KubernetesApi, namespace: str, trials: int) -> list[str]:
    """Create a run that is suspended and its trials, each with its result; return their names."""
    document = run_document(namespace)
    document["spec"] |= {"suspend": True}
    run = api.create(RUNS, document)
    owner = {"apiVersion": run["apiVersion"], "kind": run["kind"], "name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}
    scored = stages.trials()["scored"]

    def one(number: int) -> str:
        name = f"trial-{number:05d}"
        metadata = {"name": name, "namespace": namespace, "ownerReferences": [owner | {"controller": True}]}
        spec = scored["spec"] | {"run": run["metadata"]["name"], "number": number}
        made = api.create(TRIALS, {"metadata": metadata, "spec": spec})
        own = {"resourceVersion": made["metadata"]["resourceVersion"]}
        api.patch(TRIALS, namespace, name, {"metadata": own, "status": scored["status"]}, subresource="status")
        return name

    return list(at_once(one, range(trials)))


def take_events(api: KubernetesApi, operator: OperatorProcess, namespace: str, names: list[str]) -> dict[str, object]:
    """Change every trial and wait until the operator is idle again."""
    wait_idle(operator)
    before, begun = cpu(operator), time.monotonic()
    list(at_once(lambda name: api.patch(TRIALS, namespace, name, {"metadata": {"labels": {"changed": "yes"}}}), names))
    written = time.monotonic() - begun
    wait_idle(operator)
    return {
        "eventsPerSecond": round(len(names) / written),
        "cpuMsPerEvent": round(1000 * (cpu(operator) - before) / len(names), 2),
        "memoryAfterMiB": highest_memory(operator),
    }


def at_once(do: Callable[[Any], Any], these: Iterable[Any]) -> Iterable[Any]:
    """Do something with all of these, several at a time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        yield from pool.map(do, these)


def wait_idle(operator: OperatorProcess) -> None:
    """Wait until a whole second passes in which the operator uses next to no processor."""
    while True:
        before = cpu(operator)
        time.sleep(1.0)
        if cpu(operator) - before <= 0.03:
            return


def cpu(operator: OperatorProcess) -> float:
    """Return the seconds of processor time that the operator has used."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def highest_memory(operator: OperatorProcess) -> int:
    """Return the highest resident memory so far in MiB."""
    status = Path(f"/proc/{operator.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
