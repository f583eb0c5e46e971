"""A namespace of a cluster, as `autollm status alr/NAME` and the like look into it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from kubernetes import client

from autollm.cli.place import Kind
from autollm.report.state import RunState
from autollm_operator.api.client import KubernetesApi
from autollm_operator.commands.access import find_access
from autollm_operator.commands.following import follow_logs
from autollm_operator.commands.logs import Pods, read_logs
from autollm_operator.commands.objects import read_run, read_trainings, read_trials
from autollm_operator.commands.retry import forget_failures, look_again

MANAGER = "autollm-cli"


class KubernetesCluster:
    """The objects and logs of one namespace, read as whoever the kubeconfig says."""

    def __init__(self, settings: client.Configuration, namespace: str) -> None:
        self.namespace = namespace
        self._api = KubernetesApi(settings, manager=MANAGER)
        self._settings = settings

    def outline(self, run: str) -> RunState:
        """Return a run with its trainings, without its trials."""
        found, uid = read_run(self._api, self.namespace, run)
        return RunState(found, read_trainings(self._api, self.namespace, run, uid), ())

    def state(self, run: str) -> RunState:
        """Return a run with all its children."""
        found, uid = read_run(self._api, self.namespace, run)
        trainings = read_trainings(self._api, self.namespace, run, uid)
        return RunState(found, trainings, read_trials(self._api, self.namespace, run, uid))

    def logs(self, kind: Kind, name: str, task: str | None, *, follow: bool) -> Iterator[tuple[str, str]]:
        """Yield the lines of the logs of an object's workers, each with the name of its pod."""
        pods = Pods(self._api, self._settings, self.namespace, kind, name, task)
        return follow_logs(pods) if follow else read_logs(pods)

    def forget_failures(self, run: str) -> Iterator[str]:
        """Remove what failed and yield what was removed."""
        return forget_failures(self._api, self.namespace, run)

    def look_again(self, run: str) -> Iterator[str]:
        """Have everything looked for again, and yield what was removed for that."""
        return look_again(self._api, self.namespace, run, datetime.now(UTC))


def open_cluster(namespace: str | None, context: str | None) -> KubernetesCluster:
    """Return the namespace that is meant; None stands for what kubectl would take."""
    access = find_access(context)
    return KubernetesCluster(access.settings, namespace or access.namespace)
