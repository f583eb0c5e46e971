"""The split of a record: a pure function of its origin, so that a record keeps its split for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from autollm.resources.sources import Split

SplitName = Literal["Train", "Search", "Test"]
SPLITS: tuple[SplitName, ...] = ("Train", "Search", "Test")
TRAIN, SEARCH, TEST = range(3)


@dataclass(frozen=True)
class Splitter:
    """Shares of the unit interval: test takes its low end, search its high end, so that changing one share leaves the other split alone."""

    search: float
    test: float
    seed: int

    @classmethod
    def of(cls, split: Split) -> Splitter:
        """Return the splitter that a document asks for."""
        return cls(float(split.search), float(split.test), split.seed)

    def split(self, origin: bytes, use: SplitName) -> SplitName:
        """Return the split of a record of that origin, from a source with that use; only training sources are divided."""
        if use != "Train":
            return use
        digest = hashlib.blake2b(origin, digest_size=8, key=self.seed.to_bytes(8, "big")).digest()
        position = int.from_bytes(digest, "big") / 2**64
        if position < self.test:
            return "Test"
        return "Search" if position >= 1 - self.search else "Train"
