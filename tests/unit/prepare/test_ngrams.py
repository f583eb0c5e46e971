"""Hashes of n-grams computed in bulk agree with n-grams taken one by one."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm_runtime.prepare import ngrams
from autollm_runtime.prepare.normal import normalise, words

LINES = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab", "ba", "ä", "日", "longer-word"]), max_size=9).map(" ".join), min_size=1, max_size=8
)


@given(lines=LINES, length=st.integers(1, 5), whole=st.booleans(), stretch=st.sampled_from([1, 16, 2**20]))
def test_equal_hashes_mean_equal_grams(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], length: int, whole: bool, stretch: int
) -> None:
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text("".join(f" {line}  \n" for line in lines))
    before = ngrams._STRETCH
    ngrams._STRETCH = stretch
    try:
        found = list(ngrams.read_grams(path, length, whole=whole))
    finally:
        ngrams._STRETCH = before
    assert found[0].first == 0
    assert found[-1].end == len(lines)
    by_row: dict[int, list[int]] = defaultdict(list)
    for grams in found:
        for value, row in zip(grams.hashes.tolist(), grams.rows.tolist(), strict=True):
            by_row[row].append(value)
    meaning: dict[int, tuple[str, ...]] = {}
    hash_of: dict[tuple[str, ...], int] = {}
    for row, line in enumerate(lines):
        parts = line.split()
        expected = [tuple(parts[start : start + length]) for start in range(len(parts) - length + 1)]
        if whole and parts and not expected:
            expected = [tuple(parts)]
        assert len(by_row[row]) == len(expected)
        for value, gram in zip(by_row[row], expected, strict=True):
            assert meaning.setdefault(value, gram) == gram
            assert hash_of.setdefault(gram, value) == value


def test_normal_forms_of_texts() -> None:
    assert normalise("  Ｈello\n\tWORLD ") == "hello world"
    assert normalise("STRASSE") == normalise("straße")
    assert words(normalise("3 + 4, (say)!")).split() == [b"3", b"+", b"4", b"say"]
    assert words(normalise("3 - 4")).split() != words(normalise("3 + 4")).split()
    assert words(normalise("Größe, ja。日本語のtest")).decode().split() == ["grösse", "ja", "日", "本", "語", "の", "test"]
    assert b"\n" not in words("one\ntwo ä\nthree")
