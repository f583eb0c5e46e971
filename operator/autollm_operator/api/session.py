"""The session with which kopf speaks to the API server: the operator's own login, and an ear for every full list that is begun."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus

import aiohttp
import kopf
from kubernetes.client import Configuration

from autollm_operator.api.client import Observe
from autollm_operator.api.resources import Resource

_log = logging.getLogger(__name__)

LOGIN_SECONDS = 5.0
"""How long a login that was refused is waited with: another one at once would be refused as well."""

FORBIDDEN_SECONDS = 10.0
"""How long an answer is kept back that something may not be watched: kopf asks for ever, for each kind in a namespace that is gone."""


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
        middlewares=[_Ear(tuple(resources), listed, observe), _Patience(), _SignsIn(configuration, login)],
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
            if response.status != HTTPStatus.UNAUTHORIZED:
                return response
            response.release()
            await asyncio.sleep(LOGIN_SECONDS)
            self._configuration = self._login()


class _Patience:
    """Slows down what is forbidden, and tells of a watch that is, once until it is allowed: of lists the operator's own tell."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        path, watches = request.url.path, _watches(request)
        if response.status == HTTPStatus.FORBIDDEN:
            if watches and path not in self._told:
                self._told.add(path)
                _log.warning("the API server refuses to let %s be watched", path, extra={"reason": "Forbidden"})
            await asyncio.sleep(FORBIDDEN_SECONDS)
        elif watches:
            self._told.discard(path)
        return response


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
        verb, status = "watch" if _watches(request) else "list", 0
        try:
            response = await handler(request)
            status = response.status
        finally:
            self._observe(verb, resource.plural, status)
        if verb == "list" and status == 200 and "continue" not in request.url.query:
            self._listed(resource)
        return response


def _watches(request: aiohttp.ClientRequest) -> bool:
    return request.url.query.get("watch") == "true"


def _is_of(resource: Resource, path: str) -> bool:
    return path.endswith(f"/{resource.plural}") and resource.path().rpartition("/")[0] + "/" in path
