"""How to sign in to an API server: as the pod's ServiceAccount, or as a kubeconfig says."""

from __future__ import annotations

import os

from kubernetes import client, config
from yaml import YAMLError

from autollm_operator.api.port import ApiError


def configuration(kubeconfig: str | None = None, *, connections: int = 10) -> client.Configuration:
    """Return the operator's configuration: of a kubeconfig, else in a pod of its ServiceAccount, else of the usual kubeconfig.

    So many `connections` are kept open, one for each thread. Raises ApiError where there is neither a ServiceAccount nor a kubeconfig.
    """
    if kubeconfig is None and in_pod():
        return of_service_account(connections=connections)
    return of_kubeconfig(kubeconfig or os.environ.get("KUBECONFIG"), connections=connections)


def in_pod() -> bool:
    """Say whether this is a container of a pod."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def of_service_account(*, connections: int = 10) -> client.Configuration:
    """Return the configuration of this pod's ServiceAccount; its token is read again every minute, because the kubelet replaces it."""
    found = _configuration(connections)
    try:
        config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]  # the client has no types here
    except (config.ConfigException, OSError) as error:
        raise _nowhere(error) from error
    return found


def of_kubeconfig(kubeconfig: str | None, *, context: str | None = None, connections: int = 10) -> client.Configuration:
    """Return the configuration of a context of a kubeconfig, by default of its current one; several files are joined as in KUBECONFIG."""
    found = _configuration(connections)
    try:
        config.load_kube_config(kubeconfig, context, found)  # type: ignore[no-untyped-call]  # the client has no types here
    except YAMLError as error:  # its text quotes the file, which has keys in it
        raise _nowhere("the kubeconfig is not YAML") from error
    except (config.ConfigException, OSError) as error:
        raise _nowhere(error) from error
    return found


def _configuration(connections: int) -> client.Configuration:
    made = client.Configuration()
    made.connection_pool_maxsize = connections
    made.retries = False  # a call that failed is asked again by the queue, with its backoff; never unseen, in here
    return made


def _nowhere(cause: object) -> ApiError:
    return ApiError(f"there is no cluster to speak to: {cause}; run in a pod with a ServiceAccount, or set KUBECONFIG")
