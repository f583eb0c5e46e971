"""The cut into chunks: nothing lost, nothing twice, and only what an edit touched is cut again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autollm_runtime.prepare.cut import Cut, OldChunk, chunk_name, chunk_number, cut

MOST, LEAST = 4, 2
Chunks = dict[int, list[int]]


def make(
    keys: Sequence[int], old: Chunks, *, groups: Sequence[int] | None = None, most: int = MOST, least: int = LEAST
) -> tuple[Chunks, list[int]]:
    """Cut, and give back the chunks and what waits as keys."""
    chunks = [OldChunk(number, np.array(content, np.uint64)) for number, content in old.items()]
    made: Cut = cut(np.array(keys, np.uint64), np.array(groups or [0] * len(keys)), chunks, most=most, least=least)
    return {piece.number: [keys[row] for row in piece.rows] for piece in made.pieces}, [keys[row] for row in made.waiting]


def test_a_first_cut_divides_evenly_and_leaves_nobody_waiting() -> None:
    assert make(range(9), {}) == ({1: [0, 1, 2], 2: [3, 4, 5], 3: [6, 7, 8]}, [])
    assert make([7], {}) == ({1: [7]}, [])
    assert make([], {}) == ({}, [])


def test_appended_records_wait_and_then_make_a_chunk_of_their_own() -> None:
    old = {1: [0, 1, 2]}
    assert make([0, 1, 2, 3], old) == (old, [3])
    assert make([0, 1, 2, 3, 4], old) == ({1: [0, 1, 2], 2: [3, 4]}, [])


def test_an_edited_record_cuts_its_chunk_alone() -> None:
    old = {1: [0, 1, 2], 2: [3, 4, 5], 3: [6, 7, 8]}
    assert make([0, 1, 2, 3, 99, 5, 6, 7, 8], old)[0] == {1: [0, 1, 2], 2: [3, 99, 5], 3: [6, 7, 8]}
    assert make([99, 1, 2, 3, 4, 5, 6, 7, 8], old)[0] == {1: [99, 1, 2], 2: [3, 4, 5], 3: [6, 7, 8]}


def test_a_deleted_record_cuts_its_chunk_alone_and_an_empty_chunk_goes() -> None:
    old = {1: [0, 1], 2: [2], 3: [3, 4]}
    assert make([0, 3, 4], old) == ({1: [0], 3: [3, 4]}, [])


def test_a_chunk_that_outgrows_the_bound_is_divided_and_keeps_its_number() -> None:
    old = {1: [0, 1, 2, 3], 2: [4, 5, 6, 7]}
    assert make([0, 1, 98, 2, 3, 4, 5, 6, 7], old) == ({1: [0, 1, 98], 2: [4, 5, 6, 7], 3: [2, 3]}, [])


def test_a_number_is_not_given_again_while_its_neighbours_live() -> None:
    assert make([0, 1, 4, 5, 6, 7], {1: [0, 1], 2: [2, 3], 3: [4, 5]})[0] == {1: [0, 1], 3: [4, 5], 4: [6, 7]}


def test_in_a_pool_records_appended_to_an_early_source_are_appended() -> None:
    old = {1: [0, 1, 10, 11]}
    assert make([0, 1, 2, 10, 11, 12], old, groups=[0, 0, 0, 1, 1, 1]) == ({1: [0, 1, 10, 11], 2: [2, 12]}, [])


def test_names_carry_a_number_only_where_there_are_several() -> None:
    assert [chunk_name("math", 1, 1), chunk_name("math", 1, 2), chunk_name("math", 3, 1)] == ["math", "math-0001", "math-0003"]
    assert [chunk_number("math", name) for name in ("math", "math-0001", "math-0003")] == [1, 1, 3]


def edits() -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(["edit", "delete", "insert", "append"]), st.integers(0, 10**6)), max_size=12)


@settings(max_examples=300)
@given(first=st.integers(0, 30), rounds=st.lists(edits(), max_size=6), most=st.integers(1, 6), least=st.integers(1, 6))
def test_random_edits_touch_only_their_own_chunks(first: int, rounds: list[list[tuple[str, int]]], most: int, least: int) -> None:
    least = min(least, most)
    keys = list(range(first))
    fresh = first
    chunks, waiting = make(keys, {}, most=most, least=least)
    for script in rounds:
        before, gone, home_of_new = dict(chunks), set(), set()
        old_keys = {key for content in chunks.values() for key in content}
        for action, number in script:
            place = number % len(keys) if keys else 0
            if action == "append" or not keys:
                keys.append(fresh)
            elif action == "insert":
                keys.insert(place, fresh)
            else:
                gone.add(keys[place])
                keys[place : place + 1] = [fresh] if action == "edit" else []
            fresh += 1
        chunks, waiting = make(keys, before, most=most, least=least)
        cut_now = [key for content in chunks.values() for key in content]
        assert sorted(cut_now + waiting) == sorted(keys)
        position = {key: index for index, key in enumerate(keys)}
        for content in chunks.values():
            assert [position[key] for key in content] == sorted(position[key] for key in content)
            assert 1 <= len(content) <= most
        assert len(waiting) < least or not old_keys
        # A chunk may change only if it lost a record or took one in; a new record's home is beside it.
        last = max((position[key] for key in old_keys & set(keys)), default=-1)
        owner = {key: number for number, content in before.items() for key in content}
        current = -1
        firsts = next((owner[key] for key in keys if key in owner), -1)
        for key in keys[: last + 1]:
            if key in owner:
                current = owner[key]
            else:
                home_of_new.add(current if current >= 0 else firsts)
        for number, content in before.items():
            if not gone & set(content) and number not in home_of_new:
                assert chunks.get(number) == content
    again, still = make(keys, chunks, most=most, least=least)
    assert (again, still) == (chunks, waiting)
