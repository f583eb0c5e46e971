"""The queue: nobody works on a key that is worked on, and nothing that was asked for is forgotten."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from autollm_operator.cache.keys import Key
from autollm_operator.workqueue import LONGEST_BACKOFF, SHORTEST_BACKOFF, WorkQueue

KEYS = [Key("AutoLLMRun", "team-a", name) for name in "abcd"]
A, B, C, D = KEYS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock, jitter=lambda: 0.0)


def test_a_key_is_handed_out_once_however_often_it_was_added(queue: WorkQueue) -> None:
    for key in (A, B, A):
        queue.add(key)
    assert [queue.take(0), queue.take(0), queue.take(0)] == [A, B, None]


def test_a_key_that_is_added_while_worked_on_comes_again(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.take(0) == A
    queue.add(A)
    assert queue.take(0) is None
    queue.succeeded(A)
    assert queue.take(0) == A


def test_the_earliest_timer_wins(queue: WorkQueue, clock: Clock) -> None:
    for seconds in (30, 10, 20):
        queue.add_after(A, seconds)
    clock.now += 9.9
    assert queue.take(0) is None
    clock.now += 0.1
    assert queue.take(0) == A
    queue.succeeded(A)
    clock.now += 100
    assert queue.take(0) is None  # the pass answered the later ones as well


def test_a_pass_sets_its_own_timer(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 5)
    queue.add(A)
    assert queue.take(0) == A
    queue.add_after(A, 60)
    queue.succeeded(A)
    clock.now += 59
    assert queue.take(0) is None
    clock.now += 1
    assert queue.take(0) == A


def fail_and_wait(queue: WorkQueue, clock: Clock, key: Key) -> float:
    """Let the pass under way fail; return for how long the next one waits, and begin it."""
    queue.failed(key)
    failed = clock.now
    while queue.take(0) is None:
        clock.now += 0.01
    return clock.now - failed


def test_failures_wait_twice_as_long_each_time_and_success_forgets_them(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.take(0)
    waits = [fail_and_wait(queue, clock, A) for _ in range(11)]
    expected = [min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2**number) for number in range(11)]
    assert waits == pytest.approx(expected, abs=0.02)
    queue.succeeded(A)
    queue.add(A)
    queue.take(0)
    assert fail_and_wait(queue, clock, A) == pytest.approx(SHORTEST_BACKOFF, abs=0.02)


def test_backoff_is_per_key_and_shortened_by_jitter(clock: Clock) -> None:
    queue = WorkQueue(clock=clock, jitter=lambda: 1.0)
    for _ in range(3):
        queue.add(A)
        assert queue.take(0) == A
        queue.failed(A)
    queue.add(B)
    assert queue.take(0) == B
    queue.failed(B)
    clock.now += SHORTEST_BACKOFF / 2
    assert queue.take(0) == B
    assert queue.take(0) is None
    clock.now += SHORTEST_BACKOFF * 2
    assert queue.take(0) == A


def test_a_server_that_said_when_to_come_again_is_obeyed(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    queue.take(0)
    queue.failed(A, at_least=7)
    clock.now += 6.9
    assert queue.take(0) is None
    clock.now += 0.1
    assert queue.take(0) == A


def test_what_a_failing_pass_caused_itself_does_not_spin(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    assert queue.take(0) == A
    queue.add(A)
    queue.failed(A)
    assert queue.take(0) is None
    clock.now += SHORTEST_BACKOFF
    assert queue.take(0) == A


def test_nothing_is_late_where_nobody_takes_keys_yet(queue: WorkQueue, clock: Clock) -> None:
    """Else a replica that stood by for an hour would be killed by its probe at the moment it begins to work."""
    queue.add(A)
    clock.now += 3600
    assert (queue.oldest_age(), queue.depth()) == (0, 1)
    queue.begin()
    assert queue.oldest_age() == 0
    clock.now += 5
    assert queue.oldest_age() == 5


def test_ages(queue: WorkQueue, clock: Clock) -> None:
    queue.begin()
    assert (queue.oldest_age(), queue.longest_work(), queue.depth()) == (0, 0, 0)
    queue.add(A)
    queue.add_after(B, 5)
    clock.now += 8
    assert (queue.oldest_age(), queue.depth()) == (8, 2)
    assert queue.take(0) == A
    assert queue.oldest_age() == 3  # since it was due, not since it was looked at
    clock.now += 2
    assert queue.longest_work() == 2
    queue.succeeded(A)
    assert queue.longest_work() == 0


def test_a_queue_that_is_late_and_moves_does_not_stand_still(queue: WorkQueue, clock: Clock) -> None:
    queue.begin()
    clock.now += 3600
    assert queue.standstill() == 0
    for key in (A, B):
        queue.add(key)
    clock.now += 200
    assert queue.take(0) == A
    clock.now += 200
    assert (queue.oldest_age(), queue.standstill()) == (400, 200)
    assert queue.take(0) == B
    clock.now += 200
    assert queue.standstill() == 0


def test_nothing_is_handed_out_of_a_closed_queue(queue: WorkQueue) -> None:
    queue.add(A)
    queue.close()
    assert queue.take() is None


def test_close_wakes_who_waits() -> None:
    queue = WorkQueue()
    taken: list[Key | None] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(10)
    assert taken == [None]


def test_a_timer_is_not_lost_with_the_thread_that_waited_for_it() -> None:
    """Two threads wait; one is told of a timer, then takes another key and keeps it: the other has to take over the timer."""
    for _ in range(20):
        queue = WorkQueue()
        stuck, timed = threading.Event(), threading.Event()

        def work(queue: WorkQueue = queue, stuck: threading.Event = stuck, timed: threading.Event = timed) -> None:
            while (key := queue.take()) is not None:
                if key == A:
                    timed.set()
                else:
                    stuck.wait(20)
                queue.succeeded(key)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        queue.add_after(A, 0.02)
        queue.add(B)
        assert timed.wait(10)
        queue.close()
        stuck.set()
        for thread in threads:
            thread.join(10)


def test_of_many_threads_one_works_on_a_key_and_every_change_is_seen() -> None:
    """Eight threads add a number to a key's count and ask for a look; whoever looks last has seen them all."""
    queue = WorkQueue()
    wanted: Counter[Key] = Counter()
    seen: dict[Key, int] = {}
    working: set[Key] = set()
    lock = threading.Lock()
    broken: list[str] = []

    def look() -> None:
        while (key := queue.take()) is not None:
            with lock:
                if key in working:
                    broken.append(f"two look at {key}")
                working.add(key)
                found = wanted[key]
            with lock:
                seen[key] = found
                working.remove(key)
            queue.succeeded(key)

    def change(number: int) -> None:
        for step in range(300):
            key = KEYS[(number + step) % 4]
            with lock:
                wanted[key] += 1
            queue.add(key) if step % 3 else queue.add_after(key, 0.001)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    changers = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in lookers + changers:
        thread.start()
    for thread in changers:
        thread.join(30)
    caught_up = threading.Event()
    while not caught_up.wait(0.01):
        with lock:
            if seen == wanted:
                caught_up.set()
    queue.close()
    for thread in lookers:
        thread.join(30)
    assert broken == []


class AnyOrder(RuleBasedStateMachine):
    """Any order of calls, beside a model that keeps no heap and no order: what is due and not worked on can be taken, nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue(clock=self.clock, jitter=lambda: 0.0)
        self.due: dict[Key, float] = {}
        self.again: set[Key] = set()
        self.working: set[Key] = set()
        self.failures: Counter[Key] = Counter()

    def wake(self, key: Key, at: float) -> None:
        self.due[key] = min(at, self.due.get(key, at))

    @rule(key=st.sampled_from(KEYS))
    def add(self, key: Key) -> None:
        self.queue.add(key)
        if key in self.working:
            self.again.add(key)
        else:
            self.wake(key, self.clock.now)

    @rule(key=st.sampled_from(KEYS), seconds=st.sampled_from([0, 1, 2, 3, 50]))
    def add_after(self, key: Key, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        self.wake(key, self.clock.now + seconds)

    @rule(seconds=st.sampled_from([0.05, 0.5, 1, 10]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take(0)
        ripe = {key for key, due in self.due.items() if due <= self.clock.now and key not in self.working}
        if key is None:
            assert not ripe
        else:
            assert key in ripe
            del self.due[key]
            self.working.add(key)

    @rule(key=st.sampled_from(KEYS))
    def succeed(self, key: Key) -> None:
        if key in self.working:
            self.queue.succeeded(key)
            self.working.remove(key)
            self.failures.pop(key, None)
            if key in self.again:
                self.again.remove(key)
                self.wake(key, self.clock.now)

    @rule(key=st.sampled_from(KEYS))
    def fail(self, key: Key) -> None:
        if key in self.working:
            self.failures[key] += 1
            assert self.queue.failed(key) == self.failures[key]
            self.working.remove(key)
            self.again.discard(key)
            if self.due.get(key, self.clock.now + 1) <= self.clock.now:
                del self.due[key]
            self.wake(key, self.clock.now + min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2 ** (self.failures[key] - 1)))

    @invariant()
    def what_is_due_is_counted(self) -> None:
        ripe = [due for key, due in self.due.items() if due <= self.clock.now and key not in self.working]
        assert self.queue.depth() == len(ripe)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase
