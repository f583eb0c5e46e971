"""Logs that are followed: of pods that come while others write all the time, and after streams that break; no line twice, none left out."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from autollm_operator.api.port import UnavailableError
from autollm_operator.cache.pods import pod_view
from autollm_operator.cache.views import PodView
from autollm_operator.commands import following
from autollm_operator.commands.following import follow_logs
from support.kubernetes_objects import POD

Line = tuple[str, str]
Stream = Callable[[], Iterator[Line]]


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.02)


def pod(name: str, phase: str = "Running") -> PodView:
    return replace(pod_view(POD), name=name, uid=f"uid of {name}", phase=phase)


class Pods:
    """Pods as they are found look after look, the last look's for ever, and the streams that each gives one after the other.

    Where a look is None, the API server is away. All but the `endless` have ended by the next look.
    """

    def __init__(self, looks: Sequence[list[PodView] | None], streams: dict[str, list[Stream]], *, endless: str = "") -> None:
        self.looks, self.streams, self.endless = list(looks), {name: iter(given) for name, given in streams.items()}, endless

    def find(self) -> tuple[list[PodView], bool]:
        for thread in threading.enumerate():
            if thread.name in {f"log of {name}" for name in self.streams.keys() - {self.endless}}:
                thread.join()
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if found is None:
            raise UnavailableError("the API server is away")
        return found, len(self.looks) > 1

    def stamped(self, pod: PodView) -> Iterator[Line]:
        yield from next(self.streams[pod.name], no_more)()


def no_more() -> Iterator[Line]:
    return iter(())


def gives(*lines: str, breaks: str = "") -> Stream:
    """Return a stream of lines written one after the other, which may break then."""

    def stream() -> Iterator[Line]:
        yield from ((line, line) for line in lines)
        if breaks:
            raise UnavailableError(breaks)

    return stream


def test_a_pod_that_comes_later_is_followed_while_another_never_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 1.0)  # longer than any silence of a busy machine
    stopped = threading.Event()

    def talks() -> Iterator[Line]:
        return (("", "again") for _ in itertools.takewhile(lambda _: not stopped.is_set(), itertools.count()))

    looks = [[pod("talkative")], [pod("talkative"), pod("late")]]
    pods = Pods(looks, {"talkative": [talks], "late": [gives("begun")]}, endless="talkative")
    end = time.monotonic() + 60
    try:
        assert any(line == ("late", "begun") for line in itertools.takewhile(lambda _: time.monotonic() < end, follow_logs(pods)))
    finally:
        stopped.set()


def test_a_pod_that_takes_the_place_of_another_is_followed() -> None:
    pods = Pods(
        [[pod("first")], [pod("first", "Failed"), pod("second", "Pending")], [pod("first", "Failed"), pod("second", "Succeeded")]],
        {"first": [gives("1"), gives("1")], "second": [gives("2")]},
    )
    assert list(follow_logs(pods)) == [("first", "1"), ("second", "2")]


@pytest.mark.parametrize("breaks", ["", "connection broken"], ids=["as if it were whole", "with an error"])
def test_a_stream_that_is_cut_goes_on_after_its_last_line(breaks: str) -> None:
    at_work, ended = pod("worker"), pod("worker", "Succeeded")
    streams = [gives("1", "2", breaks=breaks), gives("1", "2", "3", breaks=breaks), gives("1", "2", "3", "4")]
    assert list(follow_logs(Pods([[at_work], [at_work], [at_work], [ended]], {"worker": streams}))) == [("worker", line) for line in "1234"]


def test_lines_of_one_moment_are_all_told() -> None:
    def stream() -> Iterator[Line]:
        return iter([("1", "a"), ("1", "b"), ("", "the kubelet's own"), ("2", "c")])

    assert [line for _, line in follow_logs(Pods([[pod("worker", "Succeeded")]], {"worker": [stream]}))] == [
        "a",
        "b",
        "the kubelet's own",
        "c",
    ]


def test_a_node_that_does_not_answer_is_told_once_and_again_after_it_did() -> None:
    at_work, away = pod("worker"), gives(breaks="its node is away")
    pods = Pods([[at_work]] * 5 + [[]], {"worker": [away, away, gives("1", breaks="cut"), away, gives("1", "2")]})
    assert list(follow_logs(pods)) == [("worker", line) for line in ("its node is away", "1", "its node is away", "2")]


def test_an_api_server_that_is_away_is_told_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    at_work = pod("worker")
    pods = Pods([[at_work], None, None, [at_work], []], {"worker": [gives("1", breaks="cut"), gives("1", "2")]})
    assert list(follow_logs(pods)) == [("worker", "1"), ("worker", "2")]
    assert capsys.readouterr().err == "the API server is away; it is asked again, for 10 minutes at most\n"


def test_the_log_of_an_ended_pod_that_cannot_be_had_ends_with_the_work() -> None:
    ended, away = pod("worker", "Failed"), gives(breaks="its node is gone")
    assert list(follow_logs(Pods([[ended], [ended]], {"worker": [away] * 9}))) == [("worker", "its node is gone")]


def test_one_that_breaks_while_it_brings_lines_is_read_to_its_end() -> None:
    streams = [gives("1", breaks="cut"), gives("1", "2", breaks="cut"), gives("1", "2", "3")]
    assert list(follow_logs(Pods([[pod("worker", "Succeeded")]], {"worker": streams}))) == [("worker", line) for line in "123"]
