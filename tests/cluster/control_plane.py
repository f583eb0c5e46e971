"""A Kubernetes without nodes, and with AutoLLM's CRDs, on this machine's loopback: started in four seconds by any user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cluster.binary import program
from cluster.certificates import Certificates, make_certificates
from cluster.connection import Connection, connect
from cluster.crds import install_crds
from cluster.processes import Processes
from support.ports import free_port

SERVICES = "10.0.0.0/24"
FIRST_SERVICE = "10.0.0.1"


@dataclass(frozen=True)
class ControlPlane:
    """What runs: `processes` by the names of Kubernetes' programs, and `server`, the URL at which tests reach it."""

    folder: Path
    server: str
    certificates: Certificates
    processes: Processes

    @cached_property
    def admin(self) -> Connection:
        """Requests as the administrator."""
        return connect(self.kubeconfig)

    @cached_property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.certificates.kubeconfig("admin", self.server)


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run a control plane whose files are in `folder`, on ports that are free; it ends with the block."""
    certificates = make_certificates(folder / "certificates", [FIRST_SERVICE])
    processes = Processes(folder)
    port = free_port()
    plane = ControlPlane(folder, f"https://127.0.0.1:{port}", certificates, processes)
    try:
        start(plane, host="127.0.0.1", port=port, etcd=free_port(), scheduler=free_port(), controllers=free_port())
        yield plane
    finally:
        processes.stop()


def start(plane: ControlPlane, *, host: str, port: int, etcd: int, scheduler: int, controllers: int, grace: int = 50) -> None:
    """Start the programs, with AutoLLM's CRDs, and wait until namespaces get their ServiceAccount; pods reach the API server at `host`.

    A node that is silent for longer than `grace` seconds is not ready.
    """
    binary, certificates, processes = program(), plane.certificates, plane.processes
    loopback = host == "127.0.0.1"
    server = f"https://127.0.0.1:{port}"
    store = f"http://127.0.0.1:{etcd}"
    processes.start(
        "etcd",
        *(binary, "etcd", "--data-dir", plane.folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-peer-urls", "http://127.0.0.1:0", "--listen-client-urls", store, "--advertise-client-urls", store),
    )
    processes.start(
        "kube-apiserver",
        *(binary, "kube-apiserver", "--etcd-servers", store, "--secure-port", str(port)),
        *("--bind-address", "127.0.0.1" if loopback else "0.0.0.0", "--advertise-address", host),
        # An Endpoints object may not hold a loopback address.
        *("--endpoint-reconciler-type", "none" if loopback else "lease", "--service-cluster-ip-range", SERVICES),
        *("--tls-cert-file", certificates.file("server.crt"), "--tls-private-key-file", certificates.file("server.key")),
        *("--client-ca-file", certificates.file("ca.crt"), "--authorization-mode", "Node,RBAC"),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", certificates.file("accounts.pub")),
        *("--service-account-signing-key-file", certificates.file("accounts.key")),
        *("--kubelet-client-certificate", certificates.file("apiserver.crt"), "--kubelet-client-key", certificates.file("apiserver.key")),
        *("--kubelet-preferred-address-types", "InternalIP", "--enable-admission-plugins", "NodeRestriction"),
        *("--allow-privileged=true", "--enable-priority-and-fairness=false", "--profiling=false"),
    )
    processes.wait_until("kube-apiserver", lambda: plane.admin.answers("/readyz"))
    # The garbage collector looks for new kinds twice a minute: it is to find ours when it starts.
    install_crds(plane.admin)
    fast = ("--leader-elect=false", "--bind-address", "127.0.0.1", "--kube-api-qps", "2000", "--kube-api-burst", "4000")
    processes.start(
        "kube-controller-manager",
        *(binary, "kube-controller-manager", "--kubeconfig", certificates.kubeconfig("controllers", server), *fast),
        *("--secure-port", str(controllers), "--use-service-account-credentials=true", "--node-monitor-grace-period", f"{grace}s"),
        *("--service-account-private-key-file", certificates.file("accounts.key"), "--root-ca-file", certificates.file("ca.crt")),
    )
    processes.start(
        "kube-scheduler",
        *(binary, "kube-scheduler", "--kubeconfig", certificates.kubeconfig("scheduler", server), *fast),
        *("--secure-port", str(scheduler)),
    )
    processes.wait_until("kube-controller-manager", lambda: plane.admin.answers("/api/v1/namespaces/default/serviceaccounts/default"))
