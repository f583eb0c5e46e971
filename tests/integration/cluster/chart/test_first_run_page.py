"""The page of the first run, from an empty cluster to a published model and back, with workers that are played."""

from __future__ import annotations

from pathlib import Path

import yaml

from cluster.cluster import Cluster
from support.operator_process import running_operator
from support.pages import HOW_TO, Reader, blocks, commands
from support.simulated_pods import SimulatedPods

PAGE = HOW_TO / "first-run.md"
NAMESPACE = "team-a"


def test_the_first_run(empty: Cluster, tmp_path: Path) -> None:
    reader, lines = Reader(tmp_path, empty.kubeconfig), commands(PAGE)
    end = next(number for number, line in enumerate(lines) if line.startswith("kubectl delete alr"))
    secret = next(number for number, line in enumerate(lines) if "create secret" in line)
    assert 0 < secret < end
    (document,) = blocks(PAGE, "yaml")
    (tmp_path / "run.yaml").write_text(document)
    for line in lines[: secret + 1]:
        reader.run(line)
    settings = yaml.safe_load(empty.kubectl("get", "configmap", "autollm", "-n", NAMESPACE, "-o", r"jsonpath={.data.settings\.yaml}"))
    del settings["namespaces"], settings["port"]
    pods = SimulatedPods(empty.admin, NAMESPACE, seconds=lambda what: 0.1)
    with running_operator(tmp_path, empty.kubeconfig, NAMESPACE, **settings) as operator, pods:
        operator.wait_ready()
        printed = {line: reader.run(line) for line in lines[secret + 1 : end + 1]}
    _tells(printed, "autollm watch", "succeeded, Published: r1 is the model of this run")
    _tells(printed, "jsonpath='{.status.published.uri}'", "s3://models/first-run/")
    for stage in ("Preparing", "Training", "Searching", "Testing", "Publishing", "Published"):
        _tells(printed, "kubectl events", stage)
    assert (tmp_path / "build" / "report" / "report.html").is_file()
    assert _columns("NAME                   RUN") == _tells(printed, "kubectl get mt", "average").splitlines()[0].split()
    for line in lines[end + 1 :]:
        reader.run(line)


def _tells(printed: dict[str, str], command: str, what: str) -> str:
    (output,) = [output for line, output in printed.items() if command in line]
    assert what in output
    return output


def _columns(start: str) -> list[str]:
    """The columns of a table that the page shows."""
    (found,) = [line.split() for block in blocks(PAGE, "console") for line in block.splitlines() if line.startswith(start)]
    return found
