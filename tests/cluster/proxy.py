"""A proxy before the API server that writes down what is asked, and fails as the test says: cut, slow, refusing, away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import yaml
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from cluster.connection import settings_of

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding", "accept-encoding"}


class Asked(NamedTuple):
    """A request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]

    @property
    def watches(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch") == "true"


class Refusal(NamedTuple):
    """An answer in place of the API server's; a watch gets it as its first event where the status is 200."""

    status: int
    document: dict[str, Any]
    headers: dict[str, str] = {}


class Cut(Exception):
    """The connection breaks."""


Fault = Callable[[Asked], Refusal | float | None]
"""Returns what is answered in place of the API server, or for how many seconds it takes its time; raises Cut."""


class Proxy:
    """An API server that is reached over plain HTTP, as its administrator.

    Attributes:
        kubeconfig: With which clients come here.
        asked: Every request so far.
        before: Asked of every request before the API server sees it.
        after: Asked when the API server has answered, and before that answer goes back.
    """

    def __init__(self, server: str, credentials: ssl.SSLContext, folder: Path) -> None:
        self.asked: list[Asked] = []
        self.before: Fault = lambda asked: None
        self.after: Fault = lambda asked: None
        self.kubeconfig = folder / "proxy.kubeconfig"
        self._server = server
        self._credentials = credentials
        self._open: dict[asyncio.Transport, Asked] = {}
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def cut(self, which: Callable[[Asked], bool] = lambda asked: True) -> None:
        """Break the connections of requests that are under way."""
        done = threading.Event()

        def abort() -> None:
            for transport, asked in list(self._open.items()):
                if which(asked):
                    transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(abort)
        done.wait(10)

    def requests(self, *, watches: bool, plural: str) -> list[Asked]:
        """Return the lists, or the watches, of a kind."""
        return [one for one in self.asked if one.method == "GET" and one.watches == watches and one.path.endswith("/" + plural)]

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Serve until the block ends."""
        self._thread.start()
        assert self._ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0, ssl=self._credentials)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            runner = web.ServerRunner(web.Server(lambda request: self._answer(session, request)), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            (_, port), *_ = runner.addresses
            self._write_kubeconfig(f"http://127.0.0.1:{port}")
            self._ready.set()
            await self._over.wait()
            await runner.cleanup()

    def _write_kubeconfig(self, server: str) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))

    async def _answer(self, session: aiohttp.ClientSession, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(request.method, request.path, dict(request.query))
        self.asked.append(asked)
        async with self._noted(request, asked):
            try:
                if (refused := await self._meet(self.before, asked)) is not None:
                    return refused
                return await self._forward(session, request, asked)
            except (Cut, aiohttp.ClientError):
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=502)

    async def _forward(self, session: aiohttp.ClientSession, request: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        url = URL(self._server + request.raw_path, encoded=True)
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP)
        async with session.request(
            request.method, url, data=await request.read() or None, headers=headers, skip_auto_headers=["Content-Type", "Accept-Encoding"]
        ) as answer:
            if (refused := await self._meet(self.after, asked)) is not None:
                return refused
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            response.headers.extend({name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP})
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    async def _meet(self, fault: Fault, asked: Asked) -> web.Response | None:
        met = fault(asked)
        if isinstance(met, Refusal):
            body = json.dumps(met.document).encode() + b"\n"
            return web.Response(status=met.status, body=body, headers=met.headers, content_type="application/json")
        if met is not None:
            await asyncio.sleep(met)
        return None

    @asynccontextmanager
    async def _noted(self, request: web.BaseRequest, asked: Asked) -> AsyncIterator[None]:
        transport = request.transport
        assert transport is not None
        self._open[transport] = asked
        try:
            yield
        finally:
            self._open.pop(transport, None)


@contextmanager
def proxied(kubeconfig: Path, folder: Path) -> Iterator[Proxy]:
    """Run a proxy before the cluster of a kubeconfig until the block ends."""
    settings = settings_of(kubeconfig)
    credentials = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    credentials.load_cert_chain(str(settings.cert_file), settings.key_file)
    with Proxy(settings.host, credentials, folder).running() as proxy:
        yield proxy


def refusal(status: int, reason: str, *, message: str = "the test refuses", **headers: str) -> Refusal:
    """Return what the API server answers where it refuses a request."""
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status, "message": message}
    return Refusal(status, document, {name.replace("_", "-"): value for name, value in headers.items()})


def watch_error(status: int, reason: str) -> Refusal:
    """Return a watch that begins well and whose first event is an error."""
    return Refusal(200, {"type": "ERROR", "object": refusal(status, reason).document})
