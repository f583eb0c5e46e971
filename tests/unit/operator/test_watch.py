"""The thread with kopf in it: it ends when it is told to, whatever is left in its event loop, and says how long that has not turned."""

from __future__ import annotations

import asyncio
import threading

import pytest

from autollm_operator.api.port import ApiError, UnavailableError
from autollm_operator.cache.cache import Cache
from autollm_operator.watch import Watch, run_to_end
from autollm_operator.workqueue import WorkQueue


def test_the_loop_ends_though_a_task_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autollm_operator.watch.END_ROUNDS", 3)
    cancelled: list[str] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("no")
                if len(cancelled) == 3:
                    raise

    async def work() -> None:
        waiting = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        assert not waiting.done()

    run_to_end(work())
    assert cancelled == ["no"] * 3


def test_an_error_comes_out_of_the_loop() -> None:
    async def work() -> None:
        raise UnavailableError("away")

    with pytest.raises(UnavailableError):
        run_to_end(work())


def test_it_stops_while_it_waits_for_the_kinds_to_be_served() -> None:
    waiting = threading.Event()

    def await_served(stop: threading.Event) -> None:
        waiting.set()
        stop.wait(20)

    watch = Watch(Cache(), WorkQueue(), (), lambda: pytest.fail("nothing is served"), await_served)
    watch.start()
    assert waiting.wait(20)
    assert watch.silence() == 0.0  # it is the API server that is silent
    watch.stop(20)
    assert not [thread for thread in threading.enumerate() if thread.name == "watch"]


def test_an_error_while_it_waits_for_the_kinds_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    waiting = threading.Event()

    def await_served(stop: threading.Event) -> None:
        if not caplog.records:
            raise ApiError("there is no cluster to speak to")
        waiting.set()
        stop.wait(20)

    watch = Watch(Cache(), WorkQueue(), (), lambda: pytest.fail("nothing is served"), await_served)
    watch.start()
    assert waiting.wait(60)
    watch.stop(20)
