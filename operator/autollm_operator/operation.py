"""What the operator is made of, and the order in which it begins and ends."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress

import kopf

from autollm.suggester import Suggester
from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from autollm_operator.api.port import Api, ApiError, ForbiddenError
from autollm_operator.api.resources import RUNS, TRAININGS, TRIALS, WATCHED, Resource
from autollm_operator.api.session import open_session
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.health import Health
from autollm_operator.lease import Lease, contend
from autollm_operator.metrics.exposition import build_registry
from autollm_operator.metrics.process import requested, suggested
from autollm_operator.reconcile.dispatch import Reconciler
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.resync import Resync
from autollm_operator.serving import Server, routes
from autollm_operator.settings import Settings
from autollm_operator.watch import Watch
from autollm_operator.workers import Workers
from autollm_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""How long a pass under way is waited for at the end: shorter than the 30 s of a pod. One that is cut short is done again by the next."""

LEASE_READ_SECONDS = 3.0


class Operation:
    """One operator of one cluster; raises ApiError where there is none to speak to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api = KubernetesApi(configuration(connections=settings.reconcilers + 4), observe=requested)
        self._cache = Cache()
        self._queue = WorkQueue()
        self._suggester = Suggester()
        self._suggesting = Suggesting(self._suggester, settings.suggestion_seconds, self._queue.add, suggested)
        self._reconciler = Reconciler(self._api, self._cache, self._suggesting, settings, self._api.clock.now)
        self._lease = _lease(settings)
        self._workers = Workers(self._queue, self._reconcile, settings.reconcilers, may_work=self._may_work)
        self._resync = Resync(self._api, self._cache, self._queue, settings.namespaces, settings.resync_seconds)
        self._watch = Watch(self._cache, self._queue, settings.namespaces, self._session, self._await_kinds)
        self._working = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until the event is set; raises ApiError where the Lease was lost: nothing may be finished then."""
        health = Health(
            silence=self._watch.silence,
            waiting=self._queue.standstill,
            working=self._queue.longest_work,
            works=self._working.is_set,
            listed=self._resync.complete.is_set,
            refused=lambda: "" if self._lease is None else self._lease.refusal(),
        )
        server = Server(self._settings.host, self._settings.port, routes(health, build_registry(self._cache, self._queue)))
        _log.info("serving metrics and probes", extra={"port": server.port})
        self._watch.start()
        self._resync.start()
        beginning = threading.Thread(target=self._begin, args=(stop,), name="beginning", daemon=True)
        beginning.start()
        while not stop.wait(0.5):
            if self._working.is_set() and not self._may_work():
                _log.error("the lease is lost: another replica may work by now, so this one ends at once")
                os._exit(1)  # passes that are under way must not write any more
        self._end(server, beginning)

    def _begin(self, stop: threading.Event) -> None:
        """Work as soon as everything is known and, where there are several replicas, this one holds the Lease."""
        while not self._resync.complete.wait(0.2):
            if stop.is_set():
                return
        _log.info("everything is listed", extra={"objects": len(self._cache.keys())})
        if self._lease is None:
            self._work()
        else:
            contend(self._lease, self._work, stop)

    def _work(self) -> None:
        self._workers.start()
        self._working.set()

    def _reconcile(self, key: Key) -> float | None:
        return self._reconciler.reconcile(key) if self._resync.serves(key.namespace) else None

    def _may_work(self) -> bool:
        return self._lease is None or self._lease.held()

    def _end(self, server: Server, beginning: threading.Thread) -> None:
        done = self._workers.stop(GRACE_SECONDS)
        self._working.clear()
        beginning.join(GRACE_SECONDS)
        if self._lease is not None and done and not beginning.is_alive():
            try:
                self._lease.release()
            except ApiError as error:
                _log.warning("%s", error, extra={"reason": error.reason})
        self._watch.stop(2.0)
        self._resync.stop(2.0)
        self._suggesting.close()
        self._suggester.close()
        server.close()
        self._api.close()
        _log.info("stopped")

    def _session(self) -> kopf.AiohttpSession:
        return open_session(configuration, WATCHED, listed=self._resync.request, observe=requested)

    def _await_kinds(self, stop: threading.Event) -> None:
        """Wait until the API server serves our kinds: a chart may apply their definitions and the operator at the same time."""
        api = KubernetesApi(configuration(connections=1), page=1, observe=requested)
        seconds = 0.5
        while not stop.is_set():
            try:
                for resource in (RUNS, TRAININGS, TRIALS):
                    _list_anywhere(api, resource, self._settings.namespaces)
                break
            except ApiError as error:
                _log.warning("%s", error, extra={"reason": error.reason, "again_in": seconds})
            stop.wait(seconds)
            seconds = min(10.0, seconds * 2)
        api.close()


def _list_anywhere(api: Api, resource: Resource, namespaces: Sequence[str]) -> None:
    """List a kind where that may be done: of several namespaces some may be gone, and their roles with them."""
    *others, last = namespaces or (None,)
    for namespace in others:
        with suppress(ForbiddenError):
            next(iter(api.list(resource, namespace)), None)
            return
    next(iter(api.list(resource, last)), None)


def _lease(settings: Settings) -> Lease | None:
    if settings.lease is None:
        return None
    namespace, _, name = settings.lease.partition("/")
    api: Api = KubernetesApi(configuration(connections=1), read_seconds=LEASE_READ_SECONDS, observe=requested)
    return Lease(api, namespace, name, f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}")
