"""What tests of the life of a run look at: one run, the workers of its namespace, and the operator that looks after it."""

from __future__ import annotations

from dataclasses import dataclass

from support.cluster_run import ClusterRun
from support.operator_process import OperatorProcess
from support.simulated_pods import SimulatedPods


@dataclass(frozen=True)
class Scene:
    """One run, the workers of its namespace, and the operator that looks after it."""

    run: ClusterRun
    pods: SimulatedPods
    operator: OperatorProcess
