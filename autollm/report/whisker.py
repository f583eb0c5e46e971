"""Intervals as small drawings in the rows of a table, all on one scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autollm.resources.run_status import Interval, ResultRow


@dataclass(frozen=True)
class Whisker:
    """Where an interval lies on its scale, in percent of the scale's width; `clear` where it does not reach 0."""

    low: float
    middle: float
    high: float
    zero: float
    clear: bool


def whiskers(rows: Iterable[ResultRow]) -> dict[str, Whisker]:
    """Return the drawing of every row that has an interval, by the row's name; the scale spans all of them and 0."""
    found = {row.name: row.versus for row in rows if row.versus is not None}
    if not found:
        return {}
    low = min(0.0, *(float(one.low) for one in found.values()))
    high = max(0.0, *(float(one.high) for one in found.values()))
    span = high - low or 1.0

    def place(value: float) -> float:
        return round(2 + 96 * (value - low) / span, 2)

    def drawn(one: Interval) -> Whisker:
        clear = one.low > 0 or one.high < 0
        return Whisker(place(float(one.low)), place(float(one.difference)), place(float(one.high)), place(0.0), clear)

    return {name: drawn(one) for name, one in found.items()}
