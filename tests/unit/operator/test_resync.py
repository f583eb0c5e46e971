"""Full lists: what is missing in one is gone, what fails forgets nothing, and everybody is looked at now and then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autollm_operator.api.port import ForbiddenError, UnavailableError
from autollm_operator.api.resources import JOBS, PODS, RUNS
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.resync import Resync
from autollm_operator.watch import OURS, WATCHED
from autollm_operator.workqueue import WorkQueue
from support.api_contract import job_document, run_document
from support.fake_api import Call, FakeApi, When

RUN = Key("AutoLLMRun", "team-a", "support-bot")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


@pytest.fixture
def resync(api: FakeApi, cache: Cache, queue: WorkQueue) -> Iterator[Resync]:
    resync = Resync(api, cache, queue, (), 600)
    yield resync
    resync.stop(10)


def test_every_kind_is_listed_once_before_all_is_known(api: FakeApi, cache: Cache, resync: Resync) -> None:
    api.create(RUNS, run_document("team-a"))
    for resource in WATCHED:
        assert not resync.complete.is_set()
        resync.list_now(resource)
    assert resync.complete.is_set()
    assert cache.run(RUN) is not None


def test_of_jobs_and_pods_only_ours_are_listed(cache: Cache, queue: WorkQueue) -> None:
    asked: dict[str, str] = {}

    class Listing(FakeApi):
        def list(self, resource, namespace=None, *, labels=""):  # type: ignore[no-untyped-def]  # the port's own signature
            asked[resource.plural] = labels
            return super().list(resource, namespace, labels=labels)

    resync = Resync(Listing(), cache, queue, (), 600)
    for resource in WATCHED:
        resync.list_now(resource)
    assert asked == {"jobs": OURS, "pods": OURS} | dict.fromkeys(["autollmruns", "deltatrainings", "mergetrials"], "")


def test_what_is_missing_is_gone_and_its_key_is_looked_at(api: FakeApi, cache: Cache, queue: WorkQueue, resync: Resync) -> None:
    run = api.create(RUNS, run_document("team-a"))
    resync.list_now(RUNS)
    assert queue.take(0) == RUN
    queue.succeeded(RUN)
    api.delete(RUNS, "team-a", "support-bot", uid=run["metadata"]["uid"])
    resync.list_now(RUNS)
    assert cache.run(RUN) is None
    assert queue.take(0) == RUN


def test_only_the_namespaces_of_the_settings_are_listed(api: FakeApi, cache: Cache, queue: WorkQueue) -> None:
    for namespace in ("team-a", "team-b", "team-c"):
        api.create(RUNS, run_document(namespace))
    Resync(api, cache, queue, ("team-a", "team-b"), 600).list_now(RUNS)
    assert {run.namespace for run in cache.runs()} == {"team-a", "team-b"}
    assert [call.namespace for call in api.calls if call.verb == "list"] == ["team-a", "team-b"]


@pytest.mark.parametrize("error", [UnavailableError("away", retry_after=0.01), ForbiddenError("no"), ZeroDivisionError()])
def test_a_list_that_fails_forgets_nothing_and_is_tried_again(
    api: FakeApi, cache: Cache, queue: WorkQueue, resync: Resync, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autollm_operator.resync.FIRST_BACKOFF", 0.01)
    run = api.create(RUNS, run_document("team-a"))
    resync.list_now(RUNS)
    api.delete(RUNS, "team-a", "support-bot", uid=run["metadata"]["uid"])
    left = [error, error]

    def fault(call: Call, when: When) -> None:
        if call.resource == RUNS and left:
            raise left.pop()

    api.fault = fault
    resync.list_now(RUNS)
    assert cache.run(RUN) is not None
    assert queue.take(0) == RUN
    queue.succeeded(RUN)
    resync.start()
    assert queue.take(20) == RUN
    assert left == []
    assert cache.run(RUN) is None


def test_a_watch_that_began_anew_has_its_kind_listed(api: FakeApi, cache: Cache, queue: WorkQueue, resync: Resync) -> None:
    resync.start()
    for resource in WATCHED:
        resync.request(resource)
    assert resync.complete.wait(20)
    api.create(RUNS, run_document("team-a"))
    resync.request(RUNS)
    assert queue.take(20) == RUN


def test_the_regular_round_lists_all_and_has_every_key_looked_at(api: FakeApi, cache: Cache, queue: WorkQueue, resync: Resync) -> None:
    api.create(RUNS, run_document("team-a"))
    api.create(JOBS, job_document("team-a", "job"))
    for resource in WATCHED:
        resync.list_now(resource)
    assert queue.take(0) == RUN
    queue.succeeded(RUN)
    before = len(api.calls)
    resync.start()
    resync.request_all()
    assert queue.take(20) == RUN
    resync.stop(10)
    assert {call.resource for call in api.calls[before:]} <= set(WATCHED)
    assert PODS in WATCHED
