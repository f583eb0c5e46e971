"""Hashes of word n-grams of many records at once, in array operations over stretches of the words file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_STRETCH = 2**20
_BYTE_BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0xD6E8FEB86659FD93
_SPACE, _LINE = 32, 10

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Grams:
    """The n-grams of consecutive records: `hashes` in order, and to which row each belongs; rows run from `first` to `end` - 1."""

    hashes: Hashes
    rows: Rows
    first: int
    end: int


def read_grams(path: Path, length: int, *, whole: bool) -> Iterator[Grams]:
    """Yield the n-grams of `length` words of every line; `whole` gives a shorter line one gram of all its words.

    The hash is polynomial in bytes and in words modulo 2⁶⁴, mixed afterwards: equal on every machine and in every run.
    """
    powers = _Powers()
    row = 0
    with path.open("rb") as file:
        while block := file.read(_STRETCH):
            if not block.endswith(b"\n"):
                block += file.readline()
            grams = _grams(np.frombuffer(block, np.uint8), length, powers, row, whole=whole)
            yield grams
            row = grams.end


class _Powers:
    """Powers of the odd base and of its inverse modulo 2⁶⁴, as many as the longest stretch so far needed."""

    def __init__(self) -> None:
        self.up: Hashes = np.ones(1, np.uint64)
        self.down: Hashes = np.ones(1, np.uint64)

    def grow(self, count: int) -> None:
        if len(self.up) < count:
            size = max(count, _STRETCH + _STRETCH // 4)
            self.up = _powers(_BYTE_BASE, size)
            self.down = _powers(pow(_BYTE_BASE, -1, 2**64), size)


def _powers(base: int, count: int) -> Hashes:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _grams(text: NDArray[np.uint8], length: int, powers: _Powers, row: int, *, whole: bool) -> Grams:
    powers.grow(len(text) + 1)
    breaks = np.flatnonzero(text == _LINE)
    blank = (text == _SPACE) | (text == _LINE)
    edges = np.diff(np.concatenate([[True], blank, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    # Sums of byte · baseⁱ up to each position: the difference over a word, shifted back to its start, is the word's own hash.
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum((text.astype(np.uint64) + np.uint64(1)) * powers.up[: len(text)], dtype=np.uint64)]
    )
    word = mix((sums[ends] - sums[starts]) * powers.down[starts])
    lines = np.searchsorted(breaks, starts)
    count = len(word)
    hashes = np.zeros(0, np.uint64)
    rows = np.zeros(0, np.int64)
    if count >= length:
        total = np.zeros(count - length + 1, np.uint64)
        for offset in range(length):
            total += word[offset : count - length + 1 + offset] * np.uint64(pow(_WORD_BASE, offset, 2**64))
        inside = lines[: count - length + 1] == lines[length - 1 :]
        hashes, rows = mix(total[inside]), lines[: count - length + 1][inside]
    if whole:
        sizes = np.bincount(lines, minlength=len(breaks))
        firsts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        short = np.flatnonzero((sizes > 0) & (sizes < length))
        if len(short):
            places = np.arange(count) - firsts[lines]
            scaled = word * np.array([pow(_WORD_BASE, place, 2**64) for place in range(length)], np.uint64)[np.minimum(places, length - 1)]
            sums_by_line = np.add.reduceat(scaled, firsts[sizes > 0])
            filled = np.cumsum(sizes > 0) - 1
            hashes = np.concatenate([hashes, mix(sums_by_line[filled[short]])])
            rows = np.concatenate([rows, short])
            order = np.argsort(rows, kind="stable")
            hashes, rows = hashes[order], rows[order]
    return Grams(hashes, rows + row, row, row + len(breaks))


def mix(values: Hashes) -> Hashes:
    """Spread 64-bit values over all bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
