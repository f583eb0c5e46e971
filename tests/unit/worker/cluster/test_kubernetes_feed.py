"""The feed of trials over real connections to an API server that answers as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autollm.errors import InputError
from autollm_runtime.worker.cluster.api import ClusterApi
from autollm_runtime.worker.cluster.feed import KubernetesFeed
from autollm_runtime.worker.cluster.patience import Clock, Patience
from support.scripted_api import Answer, ScriptedApi, Stream, refusal, scripted_api

UID = "7d9f0a52-0000-4000-8000-000000000001"
SOON = Patience(forbidden=0.05, first=0.001, longest=0.005)


@pytest.fixture
def script() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        yield server


@pytest.fixture
def feed(script: ScriptedApi) -> Iterator[KubernetesFeed]:
    feed = KubernetesFeed(ClusterApi(script.client(), "team-a", patience=SOON), UID, patience=SOON, clock=Clock())
    yield feed
    feed.close()


def trial(
    name: str, number: int = 0, version: int = 10, *, owner: str = UID, spec: dict[str, Any] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "autollm.dev/v1alpha1",
        "kind": "MergeTrial",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {
            "run": "demo",
            "landscape": "sha256:" + "a" * 64,
            "split": "Search",
            "weights": {},
            "number": number,
            "slot": 2,
            "origin": {"optimizer": "Random"},
        }
        | (spec or {}),
        "status": status,
    }


def listed(*trials: dict[str, Any], version: int = 10, more: str = "") -> Answer:
    return Answer({"items": list(trials), "metadata": {"resourceVersion": str(version), "continue": more}})


def event(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": document}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"kind": "MergeTrial", "metadata": {"resourceVersion": str(version)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})


def next_of(feed: KubernetesFeed) -> str:
    """Wait, as an evaluator does, for the next trial."""
    stop = threading.Event()
    while (found := feed.next(2, "demo")) is None:
        feed.wait(stop)
    return found.metadata.name


def until(condition: Callable[[], bool], feed: KubernetesFeed) -> None:
    """Wait without taking a trial."""
    feed._start(2, "demo")
    while not condition():
        feed.wait(threading.Event())


def test_lists_then_watches_one_slot_of_one_run(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(listed(trial("b", 1), more="next"), listed(trial("a", 0)), Stream([event("ADDED", trial("c", 2, 11))], "stay"))
    assert [next_of(feed), next_of(feed), next_of(feed)] == ["a", "b", "c"]
    first, second, watch = script.asked
    assert first.query["fieldSelector"] == "spec.run=demo,spec.slot=2"
    assert second.query["continue"] == "next"
    assert (watch.query["watch"], watch.query["resourceVersion"], watch.query["allowWatchBookmarks"]) == ("1", "10", "true")


def test_without_an_event_the_api_is_not_asked(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(listed(), Stream([bookmark(11)], "stay"))
    until(lambda: len(script.asked) == 2, feed)
    for _ in range(50):
        assert feed.next(2, "demo") is None
    assert len(script.asked) == 2


def test_a_trial_is_given_once_whatever_the_watch_still_tells_of_it(script: ScriptedApi, feed: KubernetesFeed) -> None:
    late = [event("MODIFIED", trial("a", version=11)), event("ADDED", trial("b", 1, 12))]
    script.then(listed(trial("a")), Stream(late, "stay"))
    assert [next_of(feed), next_of(feed)] == ["a", "b"]
    assert feed.next(2, "demo") is None


def test_trials_with_an_outcome_and_those_of_another_run_are_not_given(script: ScriptedApi, feed: KubernetesFeed) -> None:
    done = [trial("a", score="0.5"), trial("b", failure={"reason": "X", "message": "m"}), trial("c", owner="another")]
    events = [
        event("ADDED", trial("d", 1, 11)),
        event("DELETED", trial("d", 1, 12)),
        event("ADDED", trial("e", 2, 13)),
        event("MODIFIED", trial("e", 2, 14, failure={"reason": "Superseded", "message": "m"})),
        event("ADDED", trial("f", 3, 15)),
    ]
    script.then(listed(*done), Stream(events, "stay"))
    until(lambda: "f" in feed._waiting, feed)
    assert next_of(feed) == "f"
    assert feed.next(2, "demo") is None


@pytest.mark.parametrize("end", ["end", "cut"])
def test_a_watch_that_ends_or_is_cut_goes_on_from_its_last_version(script: ScriptedApi, feed: KubernetesFeed, end: str) -> None:
    script.then(
        listed(), Stream([event("ADDED", trial("a", version=12)), bookmark(17)], end), Stream([event("ADDED", trial("b", 1, 18))], "stay")
    )
    assert [next_of(feed), next_of(feed)] == ["a", "b"]
    assert [asked.query.get("resourceVersion") for asked in script.asked] == [None, "10", "17"]


@pytest.mark.parametrize("too_old", [Stream([EXPIRED]), refusal(410)])
def test_a_version_that_is_too_old_is_listed_again(script: ScriptedApi, feed: KubernetesFeed, too_old: Answer | Stream) -> None:
    script.then(listed(), too_old, listed(trial("a"), version=90), Stream([], "stay"))
    assert next_of(feed) == "a"
    until(lambda: len(script.asked) == 4, feed)
    assert script.asked[3].query["resourceVersion"] == "90"


def test_what_vanished_between_two_watches_is_not_given(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(listed(trial("a", 0), trial("b", 1)), Stream([EXPIRED]), listed(trial("c", 2), version=90), Stream([], "stay"))
    until(lambda: len(script.asked) == 4, feed)
    assert set(feed._waiting) == {"c"}


def test_an_api_server_that_is_away_is_waited_for(script: ScriptedApi, feed: KubernetesFeed) -> None:
    away = [Answer({}, absent=True), refusal(500), refusal(429), Answer({"items": []}, cut=True), refusal(401)]
    script.then(*away, listed(), *away, Stream([event("ADDED", trial("a"))], "stay"))
    assert next_of(feed) == "a"
    assert len(script.asked) == 12


def test_a_missing_right_ends_the_worker(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(*[refusal(403, "mergetrials is forbidden")] * 1000)
    with pytest.raises(InputError, match="bind the chart's Role for workers"):
        next_of(feed)


def test_a_trial_of_newer_definitions_says_so(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(listed(trial("a", spec={"novelty": 1})), Stream([], "stay"))
    with pytest.raises(InputError, match="the CRDs are newer than this worker") as caught:
        next_of(feed)
    assert caught.value.reason == "UnreadableTrial"


def test_a_request_to_stop_is_noticed_while_nothing_happens(script: ScriptedApi, feed: KubernetesFeed) -> None:
    stop = threading.Event()
    stop.set()
    feed.wait(stop)  # returns at once, or the test's own time limit says otherwise


def test_one_trial_is_read_by_name(script: ScriptedApi, feed: KubernetesFeed) -> None:
    script.then(Answer(trial("a")), Answer(trial("a", score="0.5")), refusal(404), Answer(trial("a", owner="another")))
    found = feed.named("a")
    assert found is not None
    assert found.metadata.name == "a"
    assert [feed.named("a") for _ in range(3)] == [None, None, None]
    assert script.asked[0].path.endswith("/namespaces/team-a/mergetrials/a")
