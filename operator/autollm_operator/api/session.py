"""The session with which kopf speaks to the API server: the operator's own login, and an ear for every full list that is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import aiohttp
import kopf
from kubernetes.client import Configuration

from autollm_operator.api.client import Observe
from autollm_operator.api.resources import Resource

UNAUTHORIZED = 401
LOGIN_SECONDS = 5.0
"""How long a login that was refused is waited with: another one at once would be refused as well."""


def open_session(
    login: Callable[[], Configuration],
    resources: Iterable[Resource],
    *,
    listed: Callable[[Resource], None],
    observe: Observe = lambda verb, plural, status: None,
) -> kopf.AiohttpSession:
    """Return a session for all requests; to be called in the event loop's thread.

    Args:
        login: Where the API server is, and as whom to sign in; called again when that is refused.
        resources: The kinds that are watched.
        listed: Told of a kind when the first page of a full list of it has come. A watch that was cut for too long begins with one, and
            reports as events what is there now, but nothing of what vanished meanwhile.
        observe: Told of each answer.
    """
    configuration = login()
    connection = kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        username=configuration.username or None,
        password=configuration.password or None,
    )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=connection.as_ssl_context()),
        headers=connection.as_http_headers(),
        trust_env=True,
        middlewares=[_Ear(tuple(resources), listed, observe), _SignsIn(configuration, login)],
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


class _SignsIn:
    """Sends the token of the moment, which in a pod changes every hour, and asks again with another where one is refused.

    kopf would begin another session, and close this one under the watches that go on in it: they end it then.
    """

    def __init__(self, configuration: Configuration, login: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._login = login

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        while True:
            if token := self._configuration.get_api_key_with_prefix("BearerToken"):
                request.headers["Authorization"] = token
            response = await handler(request)
            if response.status != UNAUTHORIZED:
                return response
            response.release()
            await asyncio.sleep(LOGIN_SECONDS)
            self._configuration = self._login()


class _Ear:
    """Tells of answers and of full lists."""

    def __init__(self, resources: tuple[Resource, ...], listed: Callable[[Resource], None], observe: Observe) -> None:
        self._resources = resources
        self._listed = listed
        self._observe = observe

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        resource = next((resource for resource in self._resources if _is_of(resource, request.url.path)), None)
        if resource is None:
            return await handler(request)
        verb, status = "watch" if request.url.query.get("watch") == "true" else "list", 0
        try:
            response = await handler(request)
            status = response.status
        finally:
            self._observe(verb, resource.plural, status)
        if verb == "list" and status == 200 and "continue" not in request.url.query:
            self._listed(resource)
        return response


def _is_of(resource: Resource, path: str) -> bool:
    return path.endswith(f"/{resource.plural}") and resource.path().rpartition("/")[0] + "/" in path
