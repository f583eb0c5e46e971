"""Events of the API server into the cache and the queue: kopf watches, and does nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Any

import kopf

from autollm.contract.pod import MANAGED_BY, MANAGED_BY_LABEL
from autollm_operator.api.resources import JOBS, PODS, WATCHED, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.metrics.process import lagged
from autollm_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Of Jobs and pods, which every tenant has, only those that carry the operator's label are asked for."""

BEAT_SECONDS, END_ROUNDS = 0.25, 20

logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # warns that no signal reaches a thread: the program minds them
# kopf tells of every attempt, for ever where a namespace is gone; the session and the operator's own lists tell of it once.
logging.getLogger("kopf._cogs.clients.watching").addFilter(lambda record: "APIForbiddenError(" not in record.getMessage())

Login = Callable[[], kopf.AiohttpSession]


def selector(resource: Resource) -> str:
    """Return the label selector with which a kind is listed and watched."""
    return OURS if resource in (JOBS, PODS) else ""


class Watch:
    """A thread with kopf in it, begun again whenever kopf gives up.

    Args:
        cache: Takes every object.
        queue: Gets the keys that the cache says are to be looked at.
        namespaces: What is watched; empty: all of them.
        login: Returns a session with the API server; called in the event loop's thread, whenever the watch begins.
        await_served: Returns when the API server serves all kinds, or the event is set: kopf never watches a kind that it does not find.
    """

    def __init__(
        self,
        cache: Cache,
        queue: WorkQueue,
        namespaces: Sequence[str],
        login: Login,
        await_served: Callable[[threading.Event], None] = lambda stop: None,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._namespaces = tuple(namespaces)
        self._login = login
        self._await_served = await_served
        self._stop = threading.Event()
        self._wake_up: Callable[[], None] = lambda: None
        self._beaten: float | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop watching, and wait for so long at most: nothing is lost with a watch."""
        self._stop.set()
        self._wake_up()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def silence(self) -> float:
        """Return for how many seconds the event loop has not turned, though it runs; a healthy one turns four times a second."""
        beaten = self._beaten
        return 0.0 if beaten is None else max(0.0, time.monotonic() - beaten - BEAT_SECONDS)

    def _run(self) -> None:
        delays = chain((1.0, 2.0, 5.0), repeat(10.0))
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._await_served(self._stop)
                run_to_end(self._watch())
            except Exception as error:  # whatever it is: without events the operator would be deaf
                _log.warning("watching broke off and begins again", exc_info=error)
            if time.monotonic() - begun > 300:
                delays = chain((1.0, 2.0, 5.0), repeat(10.0))
            self._stop.wait(next(delays))

    async def _watch(self) -> None:
        """Watch until something in kopf ends, which it does by an error only, or `stop` is called."""
        over = asyncio.Event()
        self._wake_up = partial(_call_soon, asyncio.get_running_loop(), over.set)
        if self._stop.is_set():
            return
        beating = asyncio.create_task(self._beat())
        kopfs = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        try:
            ended, _ = await asyncio.wait([asyncio.create_task(over.wait()), *kopfs], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            beating.cancel()
            self._beaten = None

    async def _beat(self) -> None:
        while True:
            beaten = self._beaten = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            lagged(max(0.0, time.monotonic() - beaten - BEAT_SECONDS))

    def _registry(self) -> kopf.OperatorRegistry:
        """Return handlers of raw events alone: any other kind of handler makes kopf write on the objects."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY, backoff=5)(self._logs_in)
        for resource in WATCHED:
            kopf.on.event(resource.group, resource.version, resource.plural, id=resource.plural, registry=registry)(self._takes(resource))
        return registry

    def _takes(self, resource: Resource) -> Callable[..., Any]:
        async def take(event: kopf.RawEvent, **_: Any) -> None:
            forget = event["type"] == "DELETED"
            woken = (self._cache.drop if forget else self._cache.put)(resource, event["object"])
            for key in woken:
                self._queue.add(key)

        return take

    async def _logs_in(self, **_: Any) -> kopf.AiohttpSession:
        return self._login()


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in an event loop of its own, which ends with it whatever else is in it.

    `asyncio.run` waits for every other task, and kopf's, after an error, may wait for each other for ever.
    """
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.set_exception_handler(lambda loop, context: None)  # what is ended half-way is not worth a word
        for _ in range(END_ROUNDS):  # kopf's watchers shrug off a first cancellation, to let their workers finish
            if left := asyncio.all_tasks(loop):
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(left, timeout=0.5))
        loop.close()


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: what was to be ended has ended
        loop.call_soon_threadsafe(callback)


class _Backoffs:
    """How long kopf waits before it asks again after an error: for ever, where it would give up and end the watch."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0), repeat(5.0))


class _Forgetful(kopf.DiffBaseStorage):
    """Keeps nothing of an object on it, and copies none of it for comparison: kopf would four times an event, and nobody asks."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _Forgetful()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Backoffs()
    settings.watching.server_timeout = 300
    settings.watching.reconnect_backoff = 0.5
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.05
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[resource.plural] = selector(resource)  # with the group in it, the key matches nothing
    return settings
