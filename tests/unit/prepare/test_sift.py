"""Duplicates, near duplicates and leaks: the later record goes, and later is meant in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autollm_runtime.prepare import leaks
from autollm_runtime.prepare.contents import Chat, Choice, Content, Document
from autollm_runtime.prepare.leaks import gram_leaks
from autollm_runtime.prepare.near_duplicates import banding, later_near_duplicates
from autollm_runtime.prepare.sift import REASONS, sift
from autollm_runtime.prepare.spill import Spill
from autollm_runtime.prepare.split import SplitName, Splitter


def chat(prompt: str, answer: str, system: str = "") -> Chat:
    head = [{"role": "system", "content": system}] if system else []
    return Chat([*head, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])


def never() -> None:
    pass


def verdicts(
    folder: Path, records: list[tuple[SplitName, Content]], *, near: float | None = None, known: list[int] | None = None
) -> list[str]:
    """The reasons of records that are given with their splits; `known` are positions of records of the last cut."""
    with Spill(folder, Splitter(0.0, 0.0, 0)) as spill:
        for split, content in records:
            spill.add(content, source=0, name="s", use=split, origin=None)
        table = spill.table()
    last = np.sort(table.keys[np.array(known or [], np.int64)])
    return [REASONS[verdict] for verdict in sift(table, spill.words, last, near, never)]


def sentence(number: int, length: int = 40) -> str:
    return " ".join(f"w{number}x{position}" for position in range(length))


def test_exact_duplicates_ignore_case_and_white_space(tmp_path: Path) -> None:
    records: list[tuple[SplitName, Content]] = [
        ("Train", chat("Hello  there", "Yes")),
        ("Train", chat("hello there", "yes ")),
        ("Train", chat("hello there", "no")),
        ("Train", chat("hello there", "yes", system="Be brief.")),
        ("Train", Document("hello there yes")),
        ("Train", Choice([{"role": "user", "content": "hello there"}], "yes", "no")),
    ]
    assert verdicts(tmp_path, records) == ["", "Duplicate", "", "", "", ""]


def test_a_record_of_the_last_cut_stays_though_a_copy_was_put_before_it(tmp_path: Path) -> None:
    records: list[tuple[SplitName, Content]] = [("Train", chat("HELLO", "yes")), ("Train", chat("hello", "yes"))]
    assert verdicts(tmp_path, records) == ["", "Duplicate"]
    assert verdicts(tmp_path, records, known=[1]) == ["Duplicate", ""]


def test_the_same_prompt_in_two_splits_is_a_leak_of_the_later_record(tmp_path: Path) -> None:
    records: list[tuple[SplitName, Content]] = [
        ("Train", chat("What is it?", "a")),
        ("Test", chat("what is  it?", "b")),
        ("Train", chat("What is it?", "c")),
        ("Search", chat("Another?", "d")),
        ("Train", chat("Another?", "e")),
    ]
    assert verdicts(tmp_path, records) == ["", "Leaked", "", "", "Leaked"]


def test_thirteen_words_in_a_row_are_a_leak_and_twelve_are_not(tmp_path: Path) -> None:
    shared = sentence(0, 13)
    twelve = " ".join(shared.split()[:12])
    records: list[tuple[SplitName, Content]] = [
        ("Test", chat("First?", f"Well. {shared}, and so on")),
        ("Train", chat(f"Second: {shared.upper()}", "x")),
        ("Train", chat("Third?", f"{twelve} but then")),
        ("Test", chat("Fourth?", f"{shared} in the same split")),
    ]
    assert verdicts(tmp_path, records) == ["", "Leaked", "", ""]


def test_a_run_of_words_in_more_than_ten_records_is_a_template(tmp_path: Path) -> None:
    template = sentence(0, 15)
    few: list[tuple[SplitName, Content]] = [
        ("Train" if number else "Test", chat(f"{template} {number}", str(number))) for number in range(10)
    ]
    assert verdicts(tmp_path, few) == [""] + ["Leaked"] * 9
    many: list[tuple[SplitName, Content]] = [
        ("Train" if number else "Test", chat(f"{template} {number}", str(number))) for number in range(11)
    ]
    assert verdicts(tmp_path, many) == [""] * 11


def test_a_shared_system_message_is_no_leak(tmp_path: Path) -> None:
    records: list[tuple[SplitName, Content]] = [("Train", chat("a", "b", sentence(1))), ("Test", chat("c", "d", sentence(1)))]
    assert verdicts(tmp_path, records) == ["", ""]


def test_near_duplicates_go_by_the_exact_similarity(tmp_path: Path) -> None:
    base = sentence(0, 60).split()
    near = [*base[:59], "other"]  # 55 of 57 five-grams in common: Jaccard 0.96
    far = [*base[:30], *sentence(1, 30).split()]  # Jaccard 0.30
    records: list[tuple[SplitName, Content]] = [
        ("Train", Document(" ".join(text))) for text in (base, near, far, ["short", "one"], ["short", "two"])
    ]
    assert verdicts(tmp_path, records, near=0.9) == ["", "NearDuplicate", "", "", ""]
    assert verdicts(tmp_path, records, near=0.97) == [""] * 5
    assert verdicts(tmp_path, records, near=0.9, known=[1]) == ["NearDuplicate", "", "", "", ""]
    assert verdicts(tmp_path, records) == [""] * 5


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    bands, width = banding(threshold)
    assert bands * width <= 128
    assert 1 - (1 - threshold**width) ** bands >= 0.98


def jaccard(left: list[str], right: list[str]) -> float:
    one, two = ({tuple(text[start : start + 5]) for start in range(len(text) - 4)} for text in (left, right))
    return len(one & two) / len(one | two)


def test_near_duplicates_agree_with_all_pairs_compared(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    texts: list[list[str]] = []
    for number in range(60):
        base = sentence(number, 50).split()
        texts.append(base)
        for _ in range(3):
            copy = list(base)
            for place in random.choice(50, random.integers(1, 4), replace=False):
                copy[place] = f"changed{random.integers(10**9)}"
            texts.append(copy)
    (tmp_path / "words.txt").write_text("".join(" ".join(text) + "\n" for text in texts))
    found = later_near_duplicates(tmp_path / "words.txt", np.ones(len(texts), np.bool_), np.arange(len(texts)), 0.7, never)
    kept: list[list[str]] = []
    expected = []
    for text in texts:
        expected.append(any(jaccard(text, other) >= 0.7 for other in kept))
        if not expected[-1]:
            kept.append(text)
    assert 0 < sum(expected) < 180
    assert not (found & ~np.array(expected)).any()  # the verdict is exact; what the bands miss stays
    assert found.sum() >= 0.95 * sum(expected)


@settings(max_examples=60)
@given(data=st.data(), slots=st.sampled_from([2**27, 2**10]), shared=st.sampled_from([2**22, 3]))
def test_leaks_agree_with_all_pairs_compared(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, slots: int, shared: int
) -> None:
    count = data.draw(st.integers(2, 12))
    pieces = [sentence(number, data.draw(st.integers(5, 16))).split() for number in range(4)]
    texts = [
        sum((pieces[index] for index in data.draw(st.lists(st.integers(0, 3), max_size=3, unique=True))), [f"own{row}"])
        for row in range(count)
    ]
    splits = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.uint8)
    ranks = np.array(data.draw(st.permutations(range(count))))
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text("".join(" ".join(text) + "\n" for text in texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaks, "MOST_SLOTS", slots)
        patch.setattr(leaks, "MOST_SHARED", shared)
        found = gram_leaks(path, splits, np.ones(count, np.bool_), ranks, never)
    grams = [{tuple(text[start : start + 13]) for start in range(len(text) - 12)} for text in texts]
    often = {gram for gram in set().union(*grams) if sum(gram in mine for mine in grams) > leaks.COMMON}
    kept: list[int] = []
    for row in sorted(range(count), key=lambda row: int(ranks[row])):
        leak = any(splits[row] != splits[other] and (grams[row] & grams[other]) - often for other in kept)
        assert bool(found[row]) == leak
        if not leak:
            kept.append(row)


def test_a_split_is_for_ever_and_each_share_moves_its_own_split_alone() -> None:
    origins = [number.to_bytes(8, "big") for number in range(4000)]
    before = [Splitter(0.1, 0.1, 7).split(origin, "Train") for origin in origins]
    more_search = [Splitter(0.3, 0.1, 7).split(origin, "Train") for origin in origins]
    assert before == [Splitter(0.1, 0.1, 7).split(origin, "Train") for origin in origins]
    assert all(after == "Test" for first, after in zip(before, more_search, strict=True) if first == "Test")
    assert all(after == "Search" for first, after in zip(before, more_search, strict=True) if first == "Search")
    shares: dict[SplitName, float] = {"Test": 0.1, "Search": 0.1, "Train": 0.8}
    for name, share in shares.items():
        assert abs(before.count(name) / len(origins) - share) < 0.03
    assert before != [Splitter(0.1, 0.1, 8).split(origin, "Train") for origin in origins]
    assert {Splitter(0.1, 0.1, 7).split(origin, "Test") for origin in origins} == {"Test"}
