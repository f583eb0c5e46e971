"""The session with which kopf speaks to the API server: the operator's own login, and an ear for every full list that is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import aiohttp
import kopf
from kubernetes.client import Configuration

from autollm_operator.api.client import Observe
from autollm_operator.api.resources import Resource


def open_session(
    configuration: Configuration,
    resources: Iterable[Resource],
    *,
    listed: Callable[[Resource], None],
    observe: Observe = lambda verb, plural, status: None,
) -> kopf.AiohttpSession:
    """Return a session; to be called in the event loop's thread.

    Args:
        configuration: Where the API server is, and as whom to sign in.
        resources: The kinds that are watched.
        listed: Told of a kind when the first page of a full list of it has come. A watch that was cut for too long begins with one, and
            reports as events what is there now, but nothing of what vanished meanwhile.
        observe: Told of each answer.
    """
    login = kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        username=configuration.username or None,
        password=configuration.password or None,
    )
    headers = login.as_http_headers()
    token = configuration.get_api_key_with_prefix("BearerToken")
    if token:
        headers["Authorization"] = token
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=login.as_ssl_context()),
        headers=headers,
        trust_env=True,
        trace_configs=[_ear(tuple(resources), listed, observe)],
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


def _ear(resources: tuple[Resource, ...], listed: Callable[[Resource], None], observe: Observe) -> aiohttp.TraceConfig:
    async def answered(session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        query = params.url.query
        for resource in resources:
            if _is_of(resource, params.url.path):
                watching = query.get("watch") == "true"
                observe("watch" if watching else "list", resource.plural, params.response.status)
                if not watching and "continue" not in query and params.response.status == 200:
                    listed(resource)

    async def broken(session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        for resource in resources:
            if _is_of(resource, params.url.path):
                observe("watch" if params.url.query.get("watch") == "true" else "list", resource.plural, 0)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(broken)
    return trace


def _is_of(resource: Resource, path: str) -> bool:
    return path.endswith(f"/{resource.plural}") and resource.path().rpartition("/")[0] + "/" in path
