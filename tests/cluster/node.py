"""A cluster with one real node: containerd, the kubelet, kube-proxy and DNS in a sandbox, started by root in ten seconds.

What tests run in its pods are images made by `cluster.images`; what is too large for one comes as a read-only volume.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.binary import program
from cluster.certificates import NODE, Certificates, make_certificates
from cluster.cluster import Cluster
from cluster.control_plane import FIRST_SERVICE, ControlPlane, start
from cluster.images import pause_image
from cluster.own import of
from cluster.sandbox import ADDRESS, Sandbox, missing_programs, sandbox
from cluster.waiting import wait_until

PODS = "10.88.0.0/16"
_GATEWAY = "10.88.0.1"
_PORT = 6443
_CNI = Path("/usr/lib/cni")
_PROGRAMS = ("containerd", "ctr", "runc", "busybox", "iptables", "conntrack", "ip", "nsenter", "unshare", "setpriv")
_DNS = Path(__file__).with_name("dns.py")


@dataclass(frozen=True)
class Node:
    """A cluster whose Jobs really run: `cluster` for its API, `sandbox` for what is to run beside its pods."""

    cluster: Cluster
    plane: ControlPlane
    sandbox: Sandbox

    def load(self, image: Path) -> None:
        """Take an image from a tar file in the OCI's form."""
        self.sandbox.run("ctr", "--address", self.plane.folder / "containerd.sock", "--namespace", "k8s.io", "images", "import", image)

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
    lacking = missing_programs(_PROGRAMS) + ([] if _CNI.exists() else ["the CNI plugins"])
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
        start(plane, host=ADDRESS, port=_PORT, etcd=2379, scheduler=10259, controllers=10257)
        _start_containerd(plane, inside)
        _start_node(plane, inside)
        yield Node(of(plane), plane, inside)
    shutil.rmtree(folder / "containerd")


def _start_containerd(plane: ControlPlane, inside: Sandbox) -> None:
    folder = plane.folder
    (folder / "cni").mkdir()
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "cni" / "state"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(network))
    (folder / "containerd.toml").write_text(f"""
version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true  # in a container runc may not lower it, and dies of trying
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
    inside.processes.start("containerd", "containerd", "--config", folder / "containerd.toml", "--log-level", "warn")
    inside.processes.wait_until("containerd", lambda: _succeeds(inside, "ctr", "--address", folder / "containerd.sock", "version"))
    pause = pause_image(folder / "pause.tar")
    inside.run("ctr", "--address", folder / "containerd.sock", "--namespace", "k8s.io", "images", "import", pause)


def _start_node(plane: ControlPlane, inside: Sandbox) -> None:
    folder, certificates, processes = plane.folder, plane.certificates, inside.processes
    (folder / "kubelet.json").write_text(json.dumps(_kubelet_settings(folder, certificates, inside.cgroup)))
    server = f"https://127.0.0.1:{_PORT}"
    processes.start(
        "kubelet",
        *(program(), "kubelet", "--config", folder / "kubelet.json", "--kubeconfig", certificates.kubeconfig("kubelet", server)),
        *("--root-dir", folder / "kubelet", "--cert-dir", folder / "kubelet" / "pki", "--hostname-override", NODE, "--node-ip", ADDRESS),
    )
    processes.start(
        "kube-proxy",
        *(program(), "kube-proxy", "--kubeconfig", certificates.kubeconfig("proxy", server), "--proxy-mode", "iptables"),
        *("--hostname-override", NODE, "--bind-address", ADDRESS, "--cluster-cidr", PODS),
        # The limits of connections are the machine's own, not to be touched.
        *("--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s"),
    )
    processes.start("dns", sys.executable, _DNS, ADDRESS, certificates.kubeconfig("names", server))
    processes.wait_until("kubelet", lambda: _is_ready(plane))
    wait_until(lambda: plane.admin.answers("/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"), "pods get no authority")


def _kubelet_settings(folder: Path, certificates: Certificates, cgroup: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": certificates.file("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": certificates.file("server.crt"),
        "tlsPrivateKeyFile": certificates.file("server.key"),
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
        # Images come from tests: one that is removed cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "clusterDomain": "cluster.local",
        "clusterDNS": [ADDRESS],
        "resolvConf": "",
        "podLogsDir": str(folder / "logs"),
        "volumePluginDir": str(folder / "kubelet" / "volumeplugins"),
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
    }


def _is_ready(plane: ControlPlane) -> bool:
    answer = plane.admin.ask("GET", f"/api/v1/nodes/{NODE}")
    conditions = answer.document.get("status", {}).get("conditions", []) if answer.status == 200 else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _succeeds(inside: Sandbox, *command: str | Path) -> bool:
    try:
        inside.run(*command)
    except RuntimeError:
        return False
    return True
