"""A cluster with one real node: containerd, the kubelet, kube-proxy and DNS in a sandbox, started by root in ten seconds.

What tests run in its pods are images made by `cluster.images`; what is too large for one comes as a read-only volume.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.certificates import NODES, make_certificates
from cluster.cluster import Cluster
from cluster.control_plane import FIRST_SERVICE, ControlPlane, start
from cluster.machine import CNI, Machine
from cluster.own import of
from cluster.sandbox import ADDRESS, Sandbox, missing_programs, sandbox
from cluster.waiting import wait_until

_GATEWAY = "10.88.0.1"
_GRACE = 20
"""Seconds after which a silent node is not ready: four of its reports."""

_PORT = 6443
_PROGRAMS = ("containerd", "ctr", "runc", "busybox", "iptables", "conntrack", "ip", "nsenter", "unshare", "setpriv")
_DNS = Path(__file__).with_name("dns.py")


@dataclass
class Node:
    """A cluster whose Jobs really run.

    Attributes:
        cluster: For its API.
        sandbox: For what is to run beside its pods.
        machine: What its node is now.
    """

    cluster: Cluster
    plane: ControlPlane
    sandbox: Sandbox
    machine: Machine
    _images: list[Path] = field(default_factory=list)

    def load(self, image: Path) -> None:
        """Take an image from a tar file in the OCI's form, which is to stay for as long as machines are replaced."""
        self.machine.load(image)
        self._images.append(image)

    def replace(self) -> None:
        """Start a fresh machine under another name in place of one that is lost, with the images that the one before had."""
        self.machine = _machine(self.plane, self.sandbox, NODES[NODES.index(self.machine.name) + 1])
        self.machine.start()
        for image in self._images:
            self.machine.load(image)

    def share(self, namespace: str, claim: str, folder: Path) -> None:
        """Make a folder of this machine a read-only PersistentVolumeClaim, which pods may mount under every Pod Security Standard."""
        size = {"storage": "1Gi"}
        spec = {
            "accessModes": ["ReadOnlyMany"],
            "capacity": size,
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(folder)},
            "storageClassName": "",
        }
        name = f"{namespace}-{claim}"
        self.cluster.create("/api/v1/persistentvolumes", {"kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
        wanted = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": size}, "storageClassName": "", "volumeName": name}
        claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        self.cluster.create(claims, {"kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": wanted})


def missing() -> str:
    """Why this machine cannot run a node, and what to do, in one line; empty where it can."""
    lacking = missing_programs(_PROGRAMS) + ([] if CNI.exists() else ["the CNI plugins"])
    if os.geteuid() != 0:
        return "A real node needs root, and changes nothing outside its own namespaces: run `make test` as root."
    return f"A real node needs {', '.join(lacking)}: run `make node`, which installs Debian's packages." if lacking else ""


@contextmanager
def node(folder: Path) -> Iterator[Node]:
    """Run a cluster with a node for the length of the block; its files are in `folder`. Raises RuntimeError where `missing` says why."""
    if reason := missing():
        raise RuntimeError(reason)
    folder.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(folder / "certificates", [FIRST_SERVICE, ADDRESS, _GATEWAY])
    with sandbox(folder) as inside:
        plane = ControlPlane(folder, f"https://127.0.0.1:{inside.forward(_PORT)}", certificates, inside.processes)
        start(plane, host=ADDRESS, port=_PORT, etcd=2379, scheduler=10259, controllers=10257, grace=_GRACE)
        machine = _machine(plane, inside, NODES[0])
        machine.start()
        inside.processes.start("dns", sys.executable, _DNS, ADDRESS, certificates.kubeconfig("names", machine.server))
        wait_until(lambda: plane.admin.answers("/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"), "pods get no authority")
        yield Node(of(plane), plane, inside, machine)
    for name in NODES:
        shutil.rmtree(folder / name / "containerd", ignore_errors=True)


def _machine(plane: ControlPlane, inside: Sandbox, name: str) -> Machine:
    return Machine(plane, inside, name, f"https://127.0.0.1:{_PORT}")
