"""Full lists: what is missing in one is gone, what fails forgets nothing, and everybody is looked at now and then."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from autollm_operator.api.port import ForbiddenError, NotFoundError, UnavailableError
from autollm_operator.api.resources import JOBS, PODS, RUNS, WATCHED, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.resync import Resync
from autollm_operator.watch import OURS
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
    resync = Resync(api, cache, queue, ("team-a", "team-b"), 600, clock=lambda: 0.0)
    resync.start()
    resync.request(RUNS)
    assert {queue.take(20), queue.take(20)} == {RUN, Key("AutoLLMRun", "team-b", "support-bot")}
    resync.stop(10)
    assert {run.namespace for run in cache.runs()} == {"team-a", "team-b"}
    assert [call.namespace for call in api.calls if call.verb == "list"] == ["team-a", "team-b"]


@pytest.mark.parametrize("error", [UnavailableError("away", retry_after=0.01), ForbiddenError("no", status=403), ZeroDivisionError()])
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


class TestOneNamespaceIsGone:
    """Of three namespaces the first was deleted, and the role that let the operator list it."""

    @pytest.fixture
    def resync(self, api: FakeApi, cache: Cache, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resync]:
        monkeypatch.setattr("autollm_operator.resync.FIRST_BACKOFF", 0.01)
        resync = Resync(api, cache, queue, ("gone", "team-a", "team-b"), 600)
        yield resync
        resync.stop(10)

    @pytest.fixture
    def refused(self, api: FakeApi) -> set[Resource]:
        """The kinds that may not be listed there; each is emptied by the test."""
        refused = set(WATCHED)

        def fault(call: Call, when: When) -> None:
            if call.verb == "list" and call.namespace == "gone" and call.resource in refused:
                raise ForbiddenError(f"list {call.resource.plural} gone: no", status=403)

        api.fault = fault
        return refused

    def start(self, resync: Resync) -> None:
        resync.start()
        resync.request_all()
        assert resync.complete.wait(20)

    def test_the_others_are_served(self, api: FakeApi, queue: WorkQueue, resync: Resync, refused: set[Resource]) -> None:
        api.create(RUNS, run_document("team-b"))
        self.start(resync)
        assert not resync.serves("gone")
        assert resync.serves("team-a")
        assert queue.take(20) == Key("AutoLLMRun", "team-b", "support-bot")
        api.create(RUNS, run_document("team-a"))
        resync.request(RUNS)
        assert queue.take(20) == RUN

    def test_it_is_told_of_once_and_tried_again(
        self, api: FakeApi, resync: Resync, refused: set[Resource], caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            for resource in WATCHED:
                resync.list_now(resource, "gone")
        told = [record for record in caplog.records if record.name == "autollm_operator.resync"]
        assert [record.levelname for record in told] == ["WARNING"]
        assert "nothing is done in this namespace until it may be listed" in told[0].getMessage()

    def test_it_is_served_as_soon_as_all_of_it_may_be_listed_again(
        self, api: FakeApi, cache: Cache, queue: WorkQueue, resync: Resync, refused: set[Resource]
    ) -> None:
        for resource in WATCHED:
            resync.list_now(resource, "gone")
        cache.put(RUNS, api.create(RUNS, run_document("gone")))  # the watch may tell of it before the lists do
        refused.clear()
        refused.add(PODS)
        for resource in WATCHED:
            resync.list_now(resource, "gone")
        assert not resync.serves("gone")
        assert queue.depth() == 0
        refused.clear()
        resync.start()
        assert queue.take(20) == Key("AutoLLMRun", "gone", "support-bot")
        assert resync.serves("gone")

    def test_nothing_is_known_of_it_until_then(self, api: FakeApi, cache: Cache, resync: Resync, refused: set[Resource]) -> None:
        refused.clear()
        run = api.create(RUNS, run_document("gone"))
        for resource in WATCHED:
            resync.list_now(resource, "gone")
        key = Key("AutoLLMRun", "gone", "support-bot")
        assert cache.run(key) is not None
        refused |= {*WATCHED}
        resync.list_now(RUNS, "gone")
        assert cache.run(key) is not None  # a role may lack one kind: what is known stays, and nothing is done by it
        for resource in WATCHED:
            resync.list_now(resource, "gone")
        assert cache.run(key) is None
        refused.clear()
        resync.list_now(RUNS, "gone")
        found = cache.run(key)
        assert found is not None
        assert found.uid == run["metadata"]["uid"]

    def test_a_login_that_has_run_out_and_a_kind_that_is_not_served_close_no_namespace(
        self, api: FakeApi, resync: Resync, refused: set[Resource]
    ) -> None:
        refused.clear()
        for error in (ForbiddenError("who are you?", status=401), NotFoundError("no such kind", status=404)):
            api.fault = partial(_refuse, error)
            resync.list_now(RUNS, "team-a")
            assert resync.serves("team-a")
            assert not resync.complete.is_set()

    def test_where_nothing_may_be_listed_not_all_is_known(self, api: FakeApi, resync: Resync) -> None:
        api.fault = partial(_refuse, ForbiddenError("no", status=403))
        for namespace in ("gone", "team-a", "team-b"):
            for resource in WATCHED:
                resync.list_now(resource, namespace)
        assert not resync.complete.is_set()
        api.fault = lambda call, when: None
        for resource in WATCHED:
            resync.list_now(resource, "team-a")
        assert resync.complete.is_set()


def _refuse(error: Exception, call: Call, when: When) -> None:
    raise error
