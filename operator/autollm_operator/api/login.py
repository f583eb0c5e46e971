"""Where the API server is and how to sign in: as the pod's ServiceAccount, else as kubectl would from this machine."""

from __future__ import annotations

import os

from kubernetes import client, config

from autollm_operator.api.port import ApiError


def configuration(kubeconfig: str | None = None, *, context: str | None = None, connections: int = 10) -> client.Configuration:
    """Return the client's configuration: of a kubeconfig and its context, or of this place.

    So many `connections` are kept open, one for each thread. In a pod the ServiceAccount's token is read again every minute,
    because the kubelet replaces it. Raises ApiError where there is neither a ServiceAccount nor a kubeconfig.
    """
    found = client.Configuration()
    try:
        if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]  # the client has no types here
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG")
            config.load_kube_config(path, context, found)  # type: ignore[no-untyped-call]  # the client has no types here
    except (config.ConfigException, OSError) as error:
        raise ApiError(f"there is no cluster to speak to: {error}; run in a pod with a ServiceAccount, or set KUBECONFIG") from error
    found.connection_pool_maxsize = connections
    found.retries = False  # a call that failed is asked again by the queue, with its backoff; never unseen, in here
    return found
