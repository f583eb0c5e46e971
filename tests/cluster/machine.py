"""The machine that a node is: containerd, the kubelet, kube-proxy and containers, which may be lost at once.

Its disk is what lies below folders of its own: of a machine that is lost, nothing is found again.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.binary import program
from cluster.control_plane import ControlPlane
from cluster.images import pause_image
from cluster.sandbox import ADDRESS, Sandbox, hierarchies
from cluster.waiting import wait_until

PODS = "10.88.0.0/16"
CNI = Path("/usr/lib/cni")


@dataclass(frozen=True)
class Machine:
    """One machine of a sandbox, whose node has its name; only one runs at a time.

    Attributes:
        server: The API server as the kubelet reaches it.
    """

    plane: ControlPlane
    inside: Sandbox
    name: str
    server: str

    @property
    def disk(self) -> Path:
        """Where everything lies that goes with the machine."""
        return self.plane.folder / self.name

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.disk / "containerd.sock"

    def start(self) -> None:
        """Start it, empty but for the image that every pod needs; returns when its node is ready."""
        self.disk.mkdir()
        self._start_containerd()
        self._start_kubelet()
        self._start_proxy()
        self.inside.processes.wait_until("kubelet", self.is_ready)

    def load(self, image: Path) -> None:
        """Take an image from a tar file in the OCI's form."""
        self.inside.run("ctr", "--address", self.socket, "--namespace", "k8s.io", "images", "import", image)

    def is_ready(self) -> bool:
        """Say whether its node is there and Ready."""
        answer = self.plane.admin.ask("GET", f"/api/v1/nodes/{self.name}")
        conditions = answer.document.get("status", {}).get("conditions", []) if answer.status == 200 else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def lose(self) -> None:
        """End everything that runs on it at once, as a power cut does; the cluster is not told."""
        for name in ("kubelet", "kube-proxy", "containerd"):
            self.inside.processes.kill(name)
        wait_until(self._kill_containers, f"containers of {self.name} still run")

    def has_pending(self, pod: Mapping[str, Any], number: signal.Signals) -> bool:
        """Say whether a signal waits for a process of a pod's containers that was stopped, see `ShdPnd` in proc(5)."""
        masks = [
            int(line.split()[1], 16)
            for pid in self._processes_of(pod)
            for line in _text(Path(f"/proc/{pid}/status")).splitlines()
            if line.startswith("ShdPnd:")
        ]
        return any(mask & 1 << number - 1 for mask in masks)

    def signal(self, pod: Mapping[str, Any], number: signal.Signals) -> None:
        """Send a signal to all processes of a pod's containers: SIGKILL is what the kernel does, with SIGSTOP its work stands still."""
        for pid in self._processes_of(pod):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _processes_of(self, pod: Mapping[str, Any]) -> set[int]:
        names = [container["containerID"].partition("://")[2] for container in pod["status"]["containerStatuses"]]
        return {pid for name in names for pid in self._processes(f"{name}/cgroup.procs")}

    def _kill_containers(self) -> bool:
        """Kill the containers, and what containerd runs each by, which would outlive it; say whether none was left."""
        found = self._containers()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not found

    def _containers(self) -> set[int]:
        commands = {path: _text(path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdigit()}
        shims = {int(path.name) for path, command in commands.items() if "containerd-shim" in command and str(self.socket) in command}
        return self._processes("cgroup.procs") | shims

    def _processes(self, file: str) -> set[int]:
        """The processes of all control groups below the sandbox's own whose list of them is found under a name."""
        lists = [path for hierarchy in hierarchies() for path in (hierarchy / self.inside.cgroup).rglob(file)]
        return {int(pid) for path in lists for pid in _text(path).split()}

    def _start_containerd(self) -> None:
        disk, processes = self.disk, self.inside.processes
        (disk / "cni").mkdir()
        # Which addresses are taken outlives the machine: what its pods were connected by is the sandbox's.
        state = self.plane.folder / "addresses"
        addresses = {
            "type": "host-local",
            "dataDir": str(state),
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}
        (disk / "cni" / "10-pods.conflist").write_text(json.dumps(network))
        (disk / "containerd.toml").write_text(f"""
version = 2
root = "{disk}/containerd/root"
state = "{disk}/containerd/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true  # in a container runc may not lower it, and dies of trying
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{disk}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        processes.start("containerd", "containerd", "--config", disk / "containerd.toml", "--log-level", "warn")
        processes.wait_until("containerd", lambda: self.inside.succeeds("ctr", "--address", self.socket, "version"))
        self.load(pause_image(disk / "pause.tar"))

    def _start_kubelet(self) -> None:
        disk, certificates = self.disk, self.plane.certificates
        (disk / "kubelet.json").write_text(json.dumps(self._kubelet_settings()))
        self.inside.processes.start(
            "kubelet",
            *(program(), "kubelet", "--config", disk / "kubelet.json", "--kubeconfig", certificates.kubeconfig(self.name, self.server)),
            *("--root-dir", disk / "kubelet", "--cert-dir", disk / "kubelet" / "pki"),
            *("--hostname-override", self.name, "--node-ip", ADDRESS),
        )

    def _start_proxy(self) -> None:
        self.inside.processes.start(
            "kube-proxy",
            *(program(), "kube-proxy", "--kubeconfig", self.plane.certificates.kubeconfig("proxy", self.server)),
            *("--proxy-mode", "iptables", "--hostname-override", self.name, "--bind-address", ADDRESS, "--cluster-cidr", PODS),
            # The limits of connections are the machine's own, not to be touched.
            *("--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s"),
        )

    def _kubelet_settings(self) -> dict[str, object]:
        disk, certificates = self.disk, self.plane.certificates
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.inside.cgroup}",
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
            "podLogsDir": str(disk / "logs"),
            "volumePluginDir": str(disk / "kubelet" / "volumeplugins"),
            "nodeStatusUpdateFrequency": "5s",
            "nodeLeaseDurationSeconds": 20,  # renewed every 5 s
            "syncFrequency": "10s",
        }


def _text(path: Path) -> str:
    """What a file of the kernel says; nothing, where the process or the group is gone meanwhile."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
