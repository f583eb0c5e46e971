"""Events of a real API server into the cache: nothing else is done there, nothing is missed, whatever breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autollm.contract.pod import MANAGED_BY, MANAGED_BY_LABEL
from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from autollm_operator.api.port import Document
from autollm_operator.api.resources import EVENTS, JOBS, RUNS, WATCHED
from autollm_operator.api.session import open_session
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.resync import Resync
from autollm_operator.watch import OURS, Watch
from autollm_operator.workqueue import WorkQueue
from cluster.cluster import Cluster
from cluster.proxy import Asked, Cut, Proxy, Refusal, proxied, refusal, watch_error
from cluster.waiting import wait_until
from support.api_contract import job_document, run_document, status_of

RESYNC_PAGE = 400
"""By which the operator's own lists are told from kopf's."""

OUR_LABEL = {"metadata": {"labels": {MANAGED_BY_LABEL: MANAGED_BY}}}


class Eye:
    """Watch and resync as the operator has them, before a proxy."""

    def __init__(self, proxy: Proxy, namespaces: tuple[str, ...]) -> None:
        self.cache = Cache()
        self.queue = WorkQueue()
        self.api = KubernetesApi(configuration(str(proxy.kubeconfig)), read_seconds=5, page=RESYNC_PAGE)
        self.resync = Resync(self.api, self.cache, self.queue, namespaces, 600)
        self.sessions = 0
        self._proxy = proxy
        self.watch = Watch(self.cache, self.queue, namespaces, self._session)
        self.watch.start()
        self.resync.start()
        assert self.resync.complete.wait(30)

    def close(self) -> None:
        self.watch.stop(10)
        self.resync.stop(10)
        self.api.close()

    def _session(self) -> Any:
        self.sessions += 1
        return open_session(lambda: configuration(str(self._proxy.kubeconfig)), WATCHED, listed=self.resync.request)


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    with proxied(cluster.kubeconfig, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def eye(proxy: Proxy, namespace: str) -> Iterator[Eye]:
    with closing(Eye(proxy, (namespace,))) as eye:
        yield eye


@pytest.fixture
def api(cluster: Cluster) -> Iterator[KubernetesApi]:
    """The API server without the proxy, as another client."""
    with closing(KubernetesApi(configuration(str(cluster.kubeconfig)), manager="somebody")) as api:
        yield api


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    wait_until(lambda: bool(holds()), "it does not come about", seconds=seconds)


def key(namespace: str, name: str = "support-bot") -> Key:
    return Key(RUNS.kind, namespace, name)


def test_what_happens_to_a_run_comes_into_the_cache_and_wakes_it(eye: Eye, api: KubernetesApi, namespace: str) -> None:
    run = api.create(RUNS, run_document(namespace))
    assert eye.queue.take(10) == key(namespace)
    eye.queue.succeeded(key(namespace))
    api.patch(RUNS, namespace, "support-bot", {"spec": {"suspend": True}})
    assert eye.queue.take(10) == key(namespace)
    eye.queue.succeeded(key(namespace))
    found = eye.cache.run(key(namespace))
    assert found is not None
    assert found.uid == run["metadata"]["uid"]
    api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
    until(lambda: eye.cache.run(key(namespace)) is None)


def test_jobs_and_pods_are_asked_for_by_label_on_the_wire(eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str) -> None:
    for plural in ("jobs", "pods"):
        until(partial(proxy.requests, watches=True, plural=plural))
        for watches in (False, True):
            assert {asked.query.get("labelSelector") for asked in proxy.requests(watches=watches, plural=plural)} == {OURS}
    for plural in ("autollmruns", "deltatrainings", "mergetrials"):
        assert all("labelSelector" not in asked.query for asked in proxy.requests(watches=False, plural=plural))
    api.create(JOBS, job_document(namespace, "somebody-elses"))
    api.create(JOBS, job_document(namespace, "ours") | {"metadata": job_document(namespace, "ours")["metadata"] | OUR_LABEL["metadata"]})
    until(lambda: eye.cache.job(namespace, "ours"))
    assert eye.cache.job(namespace, "somebody-elses") is None


def test_watches_end_by_themselves_and_only_of_the_namespaces_that_were_named(eye: Eye, proxy: Proxy, namespace: str) -> None:
    for resource in WATCHED:
        until(partial(proxy.requests, watches=True, plural=resource.plural))
        for asked in proxy.requests(watches=True, plural=resource.plural):
            assert 60 <= int(asked.query["timeoutSeconds"]) <= 600
            assert asked.path == resource.path(namespace)


def test_without_named_namespaces_all_are_watched(proxy: Proxy, api: KubernetesApi, namespace: str) -> None:
    with closing(Eye(proxy, ())) as eye:
        api.create(RUNS, run_document(namespace))
        until(lambda: eye.cache.run(key(namespace)))
        assert {asked.path for asked in proxy.requests(watches=True, plural="autollmruns")} == {RUNS.path()}


def test_in_a_whole_life_nothing_is_written(eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str) -> None:
    run = api.create(RUNS, run_document(namespace))
    api.create(
        JOBS, job_document(namespace, "job", run) | {"metadata": job_document(namespace, "job", run)["metadata"] | OUR_LABEL["metadata"]}
    )
    until(lambda: eye.cache.job(namespace, "job"))
    api.apply_status(RUNS, status_of(run, {"observedGeneration": 1}))
    changed = api.patch(RUNS, namespace, "support-bot", {"spec": {"suspend": True}})
    until(lambda: (found := eye.cache.run(key(namespace))) and found.version == int(changed["metadata"]["resourceVersion"]))
    for document in (api.get(RUNS, namespace, "support-bot"), api.get(JOBS, namespace, "job")):
        assert not {"finalizers", "annotations"} & document["metadata"].keys()
        assert {field["manager"] for field in document["metadata"]["managedFields"]} <= {"somebody", "kube-controller-manager", "kubeone"}
    api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
    until(lambda: eye.cache.run(key(namespace)) is None)
    assert {asked.method for asked in proxy.asked} == {"GET"}
    assert not [event for event in api.list(EVENTS, namespace) if "kopf" in str(event)]


def test_a_namespace_with_our_objects_is_gone_at_once_without_the_operator(cluster: Cluster, proxy: Proxy, api: KubernetesApi) -> None:
    namespace = cluster.namespace()
    with closing(Eye(proxy, (namespace,))) as eye:
        run = api.create(RUNS, run_document(namespace))
        api.create(JOBS, job_document(namespace, "job", run))
        until(lambda: eye.cache.run(key(namespace)))
    cluster.delete_namespace(namespace)
    cluster.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=60s")


def test_a_cut_watch_goes_on_where_it_was(eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str) -> None:
    until(lambda: proxy.requests(watches=True, plural="autollmruns"))
    proxy.cut(lambda asked: asked.watches)
    api.create(RUNS, run_document(namespace))
    until(lambda: eye.cache.run(key(namespace)))
    until(lambda: len(proxy.requests(watches=True, plural="autollmruns")) > 1)
    assert len(proxy.requests(watches=True, plural="autollmruns")) == 2
    assert [asked.query["limit"] for asked in proxy.requests(watches=False, plural="autollmruns")].count("500") == 1


def once(fault: Refusal, where: Callable[[Asked], bool]) -> Callable[[Asked], Refusal | None]:
    left = [fault]

    def meet(asked: Asked) -> Refusal | None:
        return left.pop() if left and where(asked) else None

    return meet


def test_a_watch_that_comes_back_too_late_lists_anew_and_forgets_what_is_gone(
    eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str
) -> None:
    gone, stays = (api.create(RUNS, run_document(namespace, name)) for name in ("gone", "stays"))
    until(lambda: len(eye.cache.runs()) == 2)
    away = [True]

    def before(asked: Asked) -> None:
        if away and asked.watches:
            raise Cut

    proxy.before = before
    proxy.cut(lambda asked: asked.watches)
    api.delete(RUNS, namespace, "gone", uid=gone["metadata"]["uid"])
    proxy.before = once(watch_error(410, "Expired"), lambda asked: asked.watches and asked.path == RUNS.path(namespace))
    until(lambda: [run.uid for run in eye.cache.runs()] == [stays["metadata"]["uid"]])
    api.create(RUNS, run_document(namespace, "new"))
    until(lambda: len(eye.cache.runs()) == 2)


@pytest.mark.parametrize(
    "fault",
    [
        refusal(500, "InternalError"),
        refusal(429, "TooManyRequests", Retry_After="1"),
        refusal(403, "Forbidden"),
        refusal(401, "Unauthorized"),
    ],
    ids=lambda fault: str(fault.status),
)
def test_an_api_server_that_refuses_is_asked_until_it_does_not(
    eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str, fault: Refusal
) -> None:
    until(lambda: proxy.requests(watches=True, plural="autollmruns"))
    refused: list[Asked] = []

    def before(asked: Asked) -> Refusal | None:
        if len(refused) < 5:
            refused.append(asked)
            return fault
        return None

    proxy.before = before
    proxy.cut()
    api.create(RUNS, run_document(namespace))
    until(lambda: eye.cache.run(key(namespace)), 60)


def test_an_error_that_ends_kopf_begins_the_watch_anew(eye: Eye, proxy: Proxy, api: KubernetesApi, namespace: str) -> None:
    until(lambda: proxy.requests(watches=True, plural="autollmruns"))
    proxy.before = once(watch_error(500, "InternalError"), lambda asked: asked.watches and asked.path == RUNS.path(namespace))
    proxy.cut(lambda asked: asked.watches)
    until(lambda: eye.sessions == 2)
    api.create(RUNS, run_document(namespace))
    until(lambda: eye.cache.run(key(namespace)))


def test_a_burst_is_taken_without_losing_one(eye: Eye, api: KubernetesApi, namespace: str) -> None:
    made: list[Document] = [api.create(RUNS, run_document(namespace, f"run-{number}")) for number in range(50)]
    for document in made:
        api.patch(RUNS, namespace, document["metadata"]["name"], {"spec": {"suspend": True}})
    until(lambda: len(eye.cache.runs()) == 50 and all(run.value is not None and run.value.spec.suspend for run in eye.cache.runs()))
