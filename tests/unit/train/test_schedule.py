"""Which records a step learns from, and how it is cut: every record as often as there are epochs, whatever the memory."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from autollm_runtime.train.schedule import MicroBatches, pack, plan_steps

lengths_of_records = st.lists(st.integers(1, 80), min_size=1, max_size=40)


def single(count: int) -> list[tuple[int, ...]]:
    return [(index,) for index in range(count)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_each_epoch_has_every_record_once_in_steps_of_nearly_equal_size(count: int, batch: int, epochs: int, seed: int) -> None:
    steps = plan_steps(single(count), batch_size=batch, epochs=epochs, max_steps=None, seed=seed)
    per_epoch = -(-count // batch)
    assert len(steps) == epochs * per_epoch
    for epoch in range(epochs):
        part = steps[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(record for step in part for record in step) == list(range(count))
        sizes = {len(step) for step in part}
        assert max(sizes) <= batch
        assert max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    first = plan_steps(single(20), batch_size=4, epochs=2, max_steps=None, seed=1)
    assert first == plan_steps(single(20), batch_size=4, epochs=2, max_steps=None, seed=1)
    assert first != plan_steps(single(20), batch_size=4, epochs=2, max_steps=None, seed=2)
    assert first[:5] != first[5:]


def test_max_steps_cuts_the_same_plan_short() -> None:
    whole = plan_steps(single(20), batch_size=4, epochs=3, max_steps=None, seed=1)
    assert plan_steps(single(20), batch_size=4, epochs=3, max_steps=7, seed=1) == whole[:7]


@given(lengths_of_records, st.integers(1, 200))
def test_packs_hold_every_document_once_and_no_more_than_fits(lengths: list[int], capacity: int) -> None:
    packs = pack(lengths, capacity)
    assert sorted(index for members in packs for index in members) == list(range(len(lengths)))
    for members in packs:
        assert len(members) == 1 or sum(lengths[index] for index in members) <= capacity


def test_packing_fills_its_packs() -> None:
    lengths = [5 + (17 * index) % 60 for index in range(200)]
    assert sum(lengths) > 0.97 * 128 * (len(pack(lengths, 128)) - 1)


@given(lengths_of_records, st.integers(1, 300))
def test_micro_batches_are_a_step_cut_up_within_the_budget(lengths: list[int], budget: int) -> None:
    step = tuple(range(len(lengths)))
    batches = MicroBatches(budget).cut(step, lengths)
    assert Counter(index for batch in batches for index in batch) == Counter(step)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(lengths_of_records, st.integers(1, 5000))
def test_what_does_not_fit_gets_smaller_until_single_records_are_computed_twice(lengths: list[int], budget: int) -> None:
    steps = [tuple(range(len(lengths)))]
    tried: list[MicroBatches] = []
    now: MicroBatches | None = MicroBatches(budget)
    while now is not None:
        tried.append(now)
        now = now.smaller(steps, lengths)
    assert len(tried) <= 20
    assert [micro.recompute for micro in tried[-2:]][-1] is True
    assert sum(micro.recompute for micro in tried) == 1
    last = tried[-1].cut(steps[0], lengths)
    assert {len(batch) for batch in last} == {1}
    largest = [max(len(batch) * max(lengths[index] for index in batch) for batch in micro.cut(steps[0], lengths)) for micro in tried]
    assert largest == sorted(largest, reverse=True)
