"""Which cluster the commands look into, and which namespace of it: those that kubectl would take in this place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes import client

from autollm.errors import DocumentError
from autollm_operator.api.login import in_pod, of_kubeconfig, of_service_account
from autollm_operator.api.port import ApiError

_USUAL_KUBECONFIG = "~/.kube/config"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Access:
    """How to sign in to a cluster, and the namespace that is meant there where none is named. Both come from one place."""

    settings: client.Configuration
    namespace: str


@dataclass(frozen=True)
class _Kubeconfig:
    """What KUBECONFIG's files, or the usual one, come to: the first that says something counts, as for kubectl.

    Attributes:
        paths: Those that are there, as KUBECONFIG lists them.
        current: The context in use, empty where there is none.
        namespaces: Of every context, by its name.
    """

    paths: str
    current: str
    namespaces: Mapping[str, str]


def find_access(context: str | None) -> Access:
    """Return the access by a kubeconfig; where none has a context in use, by the ServiceAccount of the pod that this runs in.

    Raises DocumentError for a `context` that is in no kubeconfig, ApiError where there is no cluster to speak to.
    """
    kubeconfig = _read_kubeconfig()
    name = context or kubeconfig.current
    if not name and in_pod():
        return Access(of_service_account(), _own_namespace())
    if context is not None and context not in kubeconfig.namespaces:
        raise DocumentError(f"--context {context}: the kubeconfig has {', '.join(sorted(kubeconfig.namespaces)) or 'no contexts'}")
    return Access(of_kubeconfig(kubeconfig.paths, context=name or None), kubeconfig.namespaces.get(name, "default"))


def _read_kubeconfig() -> _Kubeconfig:
    listed = [Path(path).expanduser() for path in (os.environ.get("KUBECONFIG") or _USUAL_KUBECONFIG).split(os.pathsep) if path]
    files = [path for path in listed if path.exists() and path.stat().st_size]  # /dev/null is a way of saying: none
    current, namespaces = "", dict[str, str]()
    for path in files:
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            current = current or document.get("current-context") or ""
            for entry in document.get("contexts") or ():
                namespaces.setdefault(entry["name"], entry["context"].get("namespace") or "default")
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            # Not the parser's own words: they quote the file, which has keys and tokens in it.
            raise ApiError(f"the kubeconfig {path} cannot be read ({type(error).__name__}): `kubectl config view` says more") from error
    return _Kubeconfig(os.pathsep.join(map(str, files)), current, namespaces)


def _own_namespace() -> str:
    """Return the pod's namespace, as its author says by the downward API, else as the kubelet says beside the token."""
    told = os.environ.get("POD_NAMESPACE")
    return told or (_OWN_NAMESPACE.read_text(encoding="utf-8").strip() if _OWN_NAMESPACE.exists() else "default")
