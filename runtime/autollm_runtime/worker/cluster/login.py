"""Signing in to the Kubernetes API: as the pod's ServiceAccount, or outside a cluster as KUBECONFIG says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autollm.errors import DocumentError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def sign_in(environ: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> ApiClient:
    """Return a client of the API; raises DocumentError where there is neither a ServiceAccount nor KUBECONFIG.

    The ServiceAccount's token is read from its file again every minute: the kubelet replaces it before it runs out.
    """
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader
    from kubernetes.config.kube_config import load_kube_config

    configuration = Configuration()
    try:
        if environ.get("KUBECONFIG"):
            load_kube_config(environ["KUBECONFIG"], client_configuration=configuration)  # type: ignore[no-untyped-call]  # the client's config has no types
        else:
            files = str(service_account / "token"), str(service_account / "ca.crt")
            loader = InClusterConfigLoader(*files, environ=environ)  # type: ignore[no-untyped-call]  # the client's config has no types
            loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # the client's config has no types
            # The API server is a Service of the cluster: the proxy that leads out of it is not for it.
            configuration.proxy = None
    except (ConfigException, OSError) as error:
        raise DocumentError(
            f"--namespace needs the Kubernetes API, but there is no way to sign in ({error}): run in a pod with a ServiceAccount's token, "
            "or set KUBECONFIG to a kubeconfig file"
        ) from error
    configuration.retries = False  # none of urllib3's, which know nothing of Retry-After or of what may be asked twice
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = 4
    client = ApiClient(configuration)
    client.user_agent = "autollm-runtime"
    return client
