"""The commands of the page on troubles, for a run that has one; its last command mends it."""

from __future__ import annotations

from pathlib import Path

from autollm.contract.exit_codes import ExitCode
from cluster.cluster import Cluster
from support.cluster_run import ClusterRun
from support.helm_release import Release
from support.operator_process import running_operator
from support.pages import HOW_TO, Reader, commands
from support.simulated_pods import Ending, SimulatedPods

PAGE = HOW_TO / "troubleshooting.md"
NAMESPACE = "team-a"


def test_every_command_works_for_a_run_that_failed(empty: Cluster, tmp_path: Path) -> None:
    empty.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    Release(empty.kubeconfig, NAMESPACE).install()
    out_of_memory = Ending(ExitCode.OUT_OF_GPU_MEMORY, "Error", '{"reason": "OutOfMemory", "message": "Not one record fits."}')
    pods = SimulatedPods(
        empty.admin,
        NAMESPACE,
        seconds=lambda what: 0.1,
        fault=lambda task, attempt: out_of_memory if task.kind == "Train" and attempt == 0 else None,
    )
    run, reader = ClusterRun(empty, NAMESPACE, "my-run"), Reader(tmp_path, empty.kubeconfig)
    with running_operator(tmp_path, empty.kubeconfig, NAMESPACE) as operator, pods:
        operator.wait_ready()
        run.apply()
        run.wait("Succeeded", "False", "TrainingFailed")
        printed = {line: reader.run(line) for line in dict.fromkeys(commands(PAGE))}
        run.wait("Succeeded", "True", "Published")
    assert len(printed) > 15
    first = next(iter(printed.values()))
    assert first.startswith("my-run  failed")
    assert "OutOfMemory: Not one record fits." in first
    assert "namespaces:\n- team-a" in next(output for line, output in printed.items() if "get configmap" in line)
    assert next(output for line, output in printed.items() if "get deployments" in line).count("autollm") == 1
