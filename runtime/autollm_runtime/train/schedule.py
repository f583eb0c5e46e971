"""Which records each step learns from, and how a step is cut into micro-batches: pure, decided before anything is computed.

A step's loss is divided by all that is learned in it, so how it is cut changes the memory it needs and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autollm_runtime.text.batching import batches_by_length

Step = tuple[int, ...]
"""The indices of the records that one optimiser step learns from."""


@dataclass(frozen=True)
class MicroBatches:
    """How much goes through the model at once: padded tokens, and whether activations are computed twice to save memory."""

    tokens: int
    recompute: bool = False

    def cut(self, step: Step, lengths: Sequence[int]) -> list[list[int]]:
        """Return the micro-batches of a step, each of records of similar length."""
        batches = batches_by_length([lengths[index] for index in step], self.tokens)
        return [[step[position] for position in batch] for batch in batches]

    def smaller(self, steps: Sequence[Step], lengths: Sequence[int]) -> MicroBatches | None:
        """Return what to try when this did not fit: half as much, at last activations computed twice; None when nothing is left."""
        largest = max((_padded(batch, lengths) for step in steps for batch in self.cut(step, lengths) if len(batch) > 1), default=0)
        if largest:
            return MicroBatches(largest // 2, self.recompute)
        return None if self.recompute else MicroBatches(self.tokens, recompute=True)


def share_of(step: Step, lengths: Sequence[int], number: int, size: int) -> Step:
    """Return the records of a step that fall to one of `size` processes: dealt out by length, so that all have about as much to do."""
    if size == 1:
        return step
    return tuple(sorted(step, key=lambda index: (-lengths[index], index))[number::size])


def plan_steps(units: Sequence[Step], *, batch_size: int, epochs: int, max_steps: int | None, seed: int) -> list[Step]:
    """Return the records of every step: each epoch in an order of its own, cut into steps of nearly equal size.

    A unit is what counts as one record of a batch: a record, or several packed ones. An epoch of n units has ⌈n / batch_size⌉
    steps whose sizes differ by one at most, so that no last step learns from a few records with the weight of many.
    """
    steps: list[Step] = []
    count = -(-len(units) // batch_size)
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(units))
        for part in np.array_split(order, count):
            steps.append(tuple(record for unit in part for record in units[int(unit)]))
            if len(steps) == max_steps:
                return steps
    return steps


def pack(lengths: Sequence[int], capacity: int) -> list[Step]:
    """Return records in packs of at most `capacity` tokens by best fit, the longest first; a longer record is a pack of its own.

    A pack says what belongs together in a step. Its documents are still computed side by side, not one behind the other:
    they are isolated on every device and with every attention, and cost no attention between them.
    """
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        place = bisect_left(room, (length, -1))
        if place == len(room):
            packs.append([index])
            left, number = capacity - length, len(packs) - 1
        else:
            left, number = room.pop(place)
            packs[number].append(index)
            left -= length
        if left > 0:
            insort(room, (left, number))
    return [tuple(sorted(members)) for members in packs]


def _padded(batch: Sequence[int], lengths: Sequence[int]) -> int:
    return len(batch) * max(lengths[index] for index in batch)
