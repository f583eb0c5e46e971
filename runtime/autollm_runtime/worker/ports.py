"""What a worker reports to and is fed from: a folder of objects, or the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autollm.contract import pod
from autollm.contract.folder import ObjectFolder
from autollm.errors import DocumentError
from autollm_runtime.worker.feed import FolderFeed, TrialFeed
from autollm_runtime.worker.reports import FolderReports, Reports


@dataclass(frozen=True)
class Ports:
    """The two ports of a worker."""

    reports: Reports
    trials: TrialFeed


def folder_ports(root: Path) -> Ports:
    """Return the ports on a folder of objects."""
    objects = ObjectFolder(root)
    return Ports(FolderReports(objects), FolderFeed(objects))


def cluster_ports(namespace: str, environ: Mapping[str, str]) -> Ports:
    """Return the ports on the objects of a namespace; raises DocumentError where the pod lacks what it needs for that."""
    uid = environ.get(pod.OWNER_UID)
    if not uid:
        raise DocumentError(f"{pod.OWNER_UID} is not set: with --namespace it names the uid of the object that the worker reports to")
    # Only here: the client of the API takes half a second to import.
    from autollm_runtime.worker.cluster.api import ClusterApi
    from autollm_runtime.worker.cluster.feed import KubernetesFeed
    from autollm_runtime.worker.cluster.login import sign_in
    from autollm_runtime.worker.cluster.reports import KubernetesReports

    api = ClusterApi(sign_in(environ), namespace)
    return Ports(KubernetesReports(api, uid), KubernetesFeed(api, uid))
