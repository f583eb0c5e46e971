"""Whatever happens to the operator and to what it hears and says: the same final state, and no work done twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from autollm_operator.api.port import ApiError, ConflictError, InvalidError, UnavailableError
from autollm_operator.api.resources import EVENTS, RUNS
from support.cluster_world import ClusterWorld, Killed, remote_run
from support.fake_api import Call, When

RUN = remote_run(search={"trials": 3, "parallelism": 2, "finalists": 1}, baselines={"average": False, "each": False})
REFUSALS: list[Callable[[], ApiError]] = [
    lambda: ConflictError("the object has been modified", status=409),
    lambda: UnavailableError("too many requests", status=429, retry_after=1.0),
    lambda: UnavailableError("etcdserver: request timed out", status=500),
    lambda: UnavailableError("connection refused"),
    lambda: ApiError("the resource version is too old", status=410),
    lambda: InvalidError("admission webhook denied the request", status=422),
]


@cache
def undisturbed() -> dict[str, Any]:
    """What the run comes to where nothing happens."""
    world = ClusterWorld()
    world.apply(RUN)
    world.settle()
    return world.final_state()


def writes() -> int:
    """How many requests of the operator change something until the run has come to its end."""
    world, counted = ClusterWorld(), 0

    def count(call: Call, when: When) -> None:
        nonlocal counted
        counted += when == "before" and is_write(call)

    world.on_call = count
    world.apply(RUN)
    world.settle()
    return counted


def is_write(call: Call) -> bool:
    return call.verb not in ("get", "list")


def at_write(number: int, when: When, fault: Callable[[], BaseException]) -> Callable[[Call, When], None]:
    """Return what raises a fault at the operator's write of this number, before or after it took effect."""
    counted = 0

    def on_call(call: Call, moment: When) -> None:
        nonlocal counted
        if is_write(call) and moment == "before":
            counted += 1
        if is_write(call) and moment == when and counted == number:
            counted += 1
            raise fault()

    return on_call


def settle(world: ClusterWorld) -> Iterator[BaseException]:
    """Let the run come to its end; yield what broke a pass, after which the queue would try again."""
    while True:
        try:
            world.settle()
        except ApiError as error:
            world.wake(next(iter(world.cache.keys())))
            yield error
        except Killed as killed:
            world.start_operator()
            yield killed
        else:
            return


class TestTheOperatorIsKilled:
    def test_after_any_of_its_writes(self) -> None:
        expected, count = undisturbed(), writes()
        assert count > 25
        for number in range(1, count + 1):
            world = ClusterWorld()
            world.on_call = at_write(number, "after", Killed)
            world.apply(RUN)
            assert len([*settle(world)]) == 1, f"killed after write {number}"
            assert world.final_state() == expected, f"killed after write {number}"

    def test_again_and_again(self) -> None:
        world = ClusterWorld()
        fate = random.Random(7)

        def on_call(call: Call, when: When) -> None:
            if fate.random() < 0.2:
                raise Killed

        world.on_call = on_call
        world.apply(RUN)
        assert len([*settle(world)]) > 10
        assert world.final_state() == undisturbed()


class TestTheApiServerRefuses:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_any_of_its_writes(self, when: When) -> None:
        expected = undisturbed()
        for number in range(1, writes() + 1):
            world = ClusterWorld()
            world.on_call = at_write(number, when, REFUSALS[number % len(REFUSALS)])
            world.apply(RUN)
            list(settle(world))
            assert world.final_state() == expected, f"{when} write {number}"

    @pytest.mark.parametrize("refusal", range(len(REFUSALS)))
    def test_every_kind_of_write(self, refusal: int) -> None:
        world = ClusterWorld()
        refused: set[tuple[str, str, str]] = set()

        def on_call(call: Call, when: When) -> None:
            kind = (call.verb, call.resource.kind, when)
            if is_write(call) and kind not in refused:
                refused.add(kind)
                raise REFUSALS[refusal]()

        world.on_call = on_call
        world.apply(RUN)
        list(settle(world))
        assert len(refused) > 10
        assert world.final_state() == undisturbed()

    def test_most_of_the_time(self) -> None:
        world = ClusterWorld()
        fate = random.Random(3)

        def on_call(call: Call, when: When) -> None:
            if fate.random() < 0.3:
                raise fate.choice(REFUSALS[:5])()

        world.on_call = on_call
        world.apply(RUN)
        list(settle(world))
        assert world.final_state() == undisturbed()

    def test_events_that_cannot_be_written_stop_nothing(self) -> None:
        world = ClusterWorld()

        def on_call(call: Call, when: When) -> None:
            if call.resource == EVENTS:
                raise UnavailableError("no", status=503)

        world.on_call = on_call
        world.apply(RUN)
        assert list(settle(world)) == []
        assert world.final_state() == undisturbed()


class TestTheRunIsReplaced:
    """Deleted and applied again between the instant at which the operator saw it and the one at which it writes its status."""

    def test_the_next_of_its_name_gets_nothing_of_its_status(self) -> None:
        world = ClusterWorld()
        world.apply(RUN)
        while world.run().status is None or world.run().status.best is None:  # type: ignore[union-attr]  # as the line says
            world.reconcile()
            world.finish(world.running()[0])
        seen, (key,) = world.run().metadata.uid, world.cache.keys()

        def fault(call: Call, when: When) -> None:
            if call.verb == "apply_status" and call.resource == RUNS and world.run().metadata.uid == seen:
                world.delete(RUNS, "demo")
                world.apply(RUN)

        world.api.fault = fault
        world.finish(world.running()[0])
        world.deliver()
        with pytest.raises(ConflictError):
            world.reconciler.reconcile(key)
        assert world.run().metadata.uid != seen
        assert world.run().status is None
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")


class TestTheWatch:
    @pytest.mark.parametrize("seed", range(5))
    def test_events_come_twice_and_in_any_order(self, seed: int) -> None:
        world = ClusterWorld()
        fate = random.Random(seed)
        told = world.deliver

        def deliver() -> None:
            world.events += fate.sample(world.events, len(world.events) // 2)
            fate.shuffle(world.events)
            held = world.events[len(world.events) // 2 :] if fate.random() < 0.5 else []
            world.events = world.events[: len(world.events) - len(held)]
            told()
            world.events += held

        world.deliver = deliver  # type: ignore[method-assign]  # the watch is what is disturbed
        world.apply(RUN)
        world.settle()
        world.deliver = told  # type: ignore[method-assign]  # and in the end it catches up
        world.settle()
        assert world.final_state() == undisturbed()

    def test_events_are_lost_and_the_next_full_list_brings_all(self) -> None:
        world = ClusterWorld()
        world.apply(RUN)
        for _ in range(100):
            world.reconcile()
            if not world.running():
                break
            world.finish(world.running()[0])
            world.events.clear()
            world.resync()
        assert world.final_state() == undisturbed()
