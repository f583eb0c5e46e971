"""Batches by length: every record once, within the budget, little padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autollm_runtime.text.batching import batches_by_length

lengths_of_records = st.lists(st.integers(1, 300), max_size=60)


@given(lengths_of_records, st.integers(1, 600), st.none() | st.integers(1, 8))
def test_every_record_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, most: int | None) -> None:
    batches = batches_by_length(lengths, budget, most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
        assert most is None or len(batch) <= most


@given(lengths_of_records)
def test_longest_first_and_each_batch_holds_neighbours(lengths: list[int]) -> None:
    order = [lengths[index] for batch in batches_by_length(lengths, 500) for index in batch]
    assert order == sorted(lengths, reverse=True)


def test_padding_is_a_small_share() -> None:
    lengths = [8 + (37 * index) % 256 for index in range(200)]
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches_by_length(lengths, 1024))
    assert padded < 1.1 * sum(lengths)
