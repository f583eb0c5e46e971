"""Of several replicas at most one works at any instant, whatever its requests meet, and none waits longer than it has to."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autollm_operator.api.port import ForbiddenError, NotFoundError, UnavailableError
from autollm_operator.api.resources import LEASES
from autollm_operator.lease import HOLD_SECONDS, LEASE_SECONDS, Lease, contend
from support.fake_api import Call, FakeApi, When


class Clock:
    def __init__(self, now: float = 0.0, rate: float = 1.0) -> None:
        self.now, self.rate = now, rate

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds * self.rate


@pytest.fixture
def api() -> FakeApi:
    """With a Lease that was given back."""
    return with_free_lease()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def with_free_lease() -> FakeApi:
    api = FakeApi()
    api.create(LEASES, {"metadata": {"namespace": "autollm", "name": "operator"}, "spec": {"holderIdentity": ""}})
    return api


def remove(api: FakeApi) -> None:
    """Delete the Lease, if there is one."""
    for lease in api.list(LEASES, "autollm"):
        api.delete(LEASES, "autollm", "operator", uid=lease["metadata"]["uid"])


def candidate(api: FakeApi, clock: Clock, identity: str = "a") -> Lease:
    return Lease(
        api, "autollm", "operator", identity, clock=clock, now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock.now)
    )


def spec(api: FakeApi) -> dict[str, object]:
    found: dict[str, object] = api.get(LEASES, "autollm", "operator")["spec"]
    return found


def test_a_free_lease_is_taken_and_says_by_whom(api: FakeApi, clock: Clock) -> None:
    lease = candidate(api, clock)
    assert not lease.held()
    assert lease.attempt()
    assert lease.held()
    assert spec(api) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 1,
    }


def test_renewing_keeps_it_and_is_no_transition(api: FakeApi, clock: Clock) -> None:
    lease = candidate(api, clock)
    for _ in range(5):
        assert lease.attempt()
        clock.advance(HOLD_SECONDS - 1)
        assert lease.held()
    assert spec(api)["leaseTransitions"] == 1


def test_not_renewed_it_is_not_held(api: FakeApi, clock: Clock) -> None:
    lease = candidate(api, clock)
    lease.attempt()
    clock.advance(HOLD_SECONDS)
    assert not lease.held()


def test_another_waits_from_when_it_saw_the_last_renewal(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    first.attempt()
    clock.advance(1000)  # the second comes late: for all it knows, this was renewed just now
    assert not second.attempt()
    clock.advance(LEASE_SECONDS - 0.1)
    assert not second.attempt()
    clock.advance(0.1)
    assert second.attempt()
    assert not first.attempt()
    assert spec(api)["leaseTransitions"] == 2


def test_what_is_given_back_is_taken_at_once(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    first.attempt()
    assert not second.attempt()
    first.release()
    assert not first.held()
    assert second.attempt()


def test_only_what_is_held_is_given_back(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    first.attempt()
    second.release()
    assert spec(api)["holderIdentity"] == "a"
    clock.advance(HOLD_SECONDS)
    first.release()
    assert spec(api)["holderIdentity"] == "a"


def test_of_two_that_find_it_free_one_gets_it(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")

    def overtaken(call: Call, when: When) -> None:
        if call.verb == "patch" and when == "before" and not second.held():
            api.fault = lambda call, when: None
            assert second.attempt()

    api.fault = overtaken
    assert not first.attempt()
    assert not first.held()


def test_an_answer_that_is_lost_is_no_lease(api: FakeApi, clock: Clock) -> None:
    lease = candidate(api, clock)

    def lost(call: Call, when: When) -> None:
        if call.verb == "patch" and when == "after":
            raise UnavailableError("lost")

    api.fault = lost
    with pytest.raises(UnavailableError):
        lease.attempt()
    assert not lease.held()
    api.fault = lambda call, when: None
    assert lease.attempt()  # it is its own, after all


def test_the_time_that_a_request_took_counts(api: FakeApi, clock: Clock) -> None:
    lease = candidate(api, clock)

    def slow(call: Call, when: When) -> None:
        if when == "after":
            clock.advance(4)

    api.fault = slow
    assert lease.attempt()
    clock.advance(HOLD_SECONDS - 8.1)
    assert lease.held()
    clock.advance(0.2)
    assert not lease.held()


def test_where_there_is_none_it_is_made_and_taken_when_no_earlier_holder_can_be_left(clock: Clock) -> None:
    api = FakeApi()
    first, second = candidate(api, clock), candidate(api, clock, "b")
    assert not first.attempt()
    assert not second.attempt()
    clock.advance(LEASE_SECONDS - 0.1)
    assert not first.attempt()
    clock.advance(0.1)
    assert first.attempt()
    assert not second.attempt()
    assert [call.verb for call in api.writes()] == ["ensure", "patch"]


def test_of_two_that_make_it_at_the_same_time_neither_disturbs_the_other(clock: Clock) -> None:
    api = FakeApi()
    first, second = candidate(api, clock), candidate(api, clock, "b")

    def overtaken(call: Call, when: When) -> None:
        if call.verb == "ensure" and when == "before":
            api.fault = lambda call, when: None
            second.attempt()

    api.fault = overtaken
    assert not first.attempt()
    clock.advance(LEASE_SECONDS)
    assert second.attempt()
    assert not first.attempt()


def test_one_that_is_deleted_stays_with_its_holder(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    assert first.attempt()
    remove(api)
    assert not second.attempt()  # which makes it
    assert first.attempt()
    assert spec(api)["holderIdentity"] == "a"


def test_of_one_that_is_deleted_the_holder_is_waited_for(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock), candidate(api, clock, "b")
    assert first.attempt()
    remove(api)
    assert not second.attempt()
    clock.advance(LEASE_SECONDS - 0.1)
    assert not second.attempt()
    assert not first.held()
    clock.advance(0.1)
    assert second.attempt()


def test_why_it_is_refused_is_told_until_it_is_not(clock: Clock) -> None:
    api = FakeApi()
    lease = candidate(api, clock)
    assert lease.refusal()  # nobody knows yet

    def fail(error: Exception) -> None:
        def fault(call: Call, when: When) -> None:
            raise error

        api.fault = fault
        with pytest.raises(type(error)):
            lease.attempt()

    fail(UnavailableError("away"))
    assert lease.refusal()
    fail(ForbiddenError("no right to get leases"))
    assert lease.refusal() == "no right to get leases"
    fail(UnavailableError("away"))
    assert lease.refusal() == "no right to get leases"
    api.fault = lambda call, when: None
    assert not lease.attempt()
    assert lease.refusal() == ""
    fail(UnavailableError("away"))
    assert lease.refusal() == ""


STEPS = st.tuples(
    st.integers(0, 2),  # who
    st.sampled_from(["attempt", "attempt", "attempt", "attempt", "release", "remove"]),
    st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0, 8.5, 9.2, 14.0, 16.0]),  # seconds before it
    st.sampled_from(["", "", "before", "after"]),  # where its request is lost
    st.sampled_from([0.0, 0.0, 3.0]),  # seconds that each of its requests takes
)


@settings(max_examples=200)
@given(steps=st.lists(STEPS, max_size=30), offsets=st.tuples(*[st.floats(0, 1e6)] * 3), rates=st.tuples(*[st.floats(0.9, 1.1)] * 3))
def test_two_never_hold_it(steps: list[tuple[int, str, float, str, float]], offsets: tuple[float, ...], rates: tuple[float, ...]) -> None:
    api = with_free_lease()
    clocks = [Clock(offset, rate) for offset, rate in zip(offsets, rates, strict=True)]
    leases = [candidate(api, clock, name) for clock, name in zip(clocks, "abc", strict=True)]

    def advance(seconds: float) -> None:
        for clock in clocks:
            clock.advance(seconds)

    for who, what, before, lost, takes in steps:
        advance(before)

        def fault(call: Call, when: When, lost: str = lost, takes: float = takes) -> None:
            advance(takes / 2)
            if call.verb in ("patch", "ensure") and when == lost:
                raise UnavailableError("lost")

        api.fault = fault
        with contextlib.suppress(UnavailableError):
            match what:
                case "attempt":
                    leases[who].attempt()
                case "release":
                    with contextlib.suppress(NotFoundError):
                        leases[who].release()
                case _:
                    remove(api)
        assert sum(lease.held() for lease in leases) <= 1


def test_contending_begins_once_and_ends_when_the_lease_is_lost(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    lease = candidate(api, clock)
    begun: list[float] = []
    attempts = 0

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal attempts
            attempts += 1
            clock.advance(timeout or 0.0)
            if attempts == 5:

                def away(call: Call, when: When) -> None:
                    raise UnavailableError("away")

                api.fault = away
            return False

    contend(lease, lambda: begun.append(clock.now), Stop())
    assert begun == [0.0]
    assert 18 <= clock.now <= 20  # renewed at 8 s, held until 18


def test_a_failure_that_lasts_is_told_once(api: FakeApi, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    lease = candidate(api, clock)
    asked = 0

    def fault(call: Call, when: When) -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise UnavailableError(f"away {asked}")
        if asked < 9:
            raise ForbiddenError(f"no {asked}")

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.advance(timeout or 0.0)
            return False

    api.fault = fault
    stop = Stop()
    contend(lease, stop.set, stop)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == ["no 1", "away 5", "no 6"]
