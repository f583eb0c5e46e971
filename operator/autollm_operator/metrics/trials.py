"""What a run's trials come to, added up once for each: the outcome of a trial is final, so a scrape looks only at those that are new."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from autollm.plan.landscape import is_pending, is_superseded
from autollm.resources.merge_trial import MergeTrial, SplitName
from autollm_operator.cache.parsed import Parsed
from autollm_operator.metrics import series as s
from autollm_operator.metrics.series import Sample
from autollm_operator.metrics.standing import seconds_since_epoch

BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the durations of trials in seconds: from a small model's to a benchmark of hours."""


@dataclass
class Durations:
    """A histogram: how many fell into each bucket, the last one without an upper bound, and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus writes them: each with all that are smaller."""
        return list(zip([*map(str, BUCKETS), "+Inf"], map(float, accumulate(self.counts)), strict=True))


@dataclass
class Search:
    """The trials of one landscape: which one is the newest, and how many each optimiser chose."""

    newest: tuple[str, int] = ("", -1)
    chosen: Counter[str] = field(default_factory=Counter)

    def add(self, trial: MergeTrial) -> None:
        """Count one trial."""
        self.newest = max(self.newest, (trial.metadata.creation_timestamp or "", trial.spec.place))
        self.chosen[trial.spec.chosen_by] += 1


@dataclass
class TrialSums:
    """The trials of one run; `sample` is on how many items its search scores, None for all of the split."""

    sample: int | None
    durations: dict[SplitName, Durations] = field(default_factory=dict)
    last: tuple[float, int, float] | None = None
    """When the search's trial that ended last did, its number, and its score."""
    last_end: float = 0.0
    pending: list[MergeTrial] = field(default_factory=list)
    _searches: dict[str, Search] = field(default_factory=dict)
    _uids: set[str] = field(default_factory=set)

    def absorb(self, rows: Sequence[Parsed[MergeTrial]]) -> bool:
        """Add those that have come to their end since; False where some are gone, so that the sums are no longer theirs."""
        known, self.pending, unread = self._uids, [], 0
        for row in rows:
            if row.uid in known:
                continue
            if row.value is None:
                unread += 1
            elif is_pending(row.value):
                self.pending.append(row.value)
            else:
                self._add(row, row.value)
        return len(known) + len(self.pending) + unread == len(rows)

    def seconds(self) -> float:
        """Return how long the trials took together."""
        return sum(durations.total for durations in self.durations.values())

    def samples(self) -> Iterator[Sample]:
        """Yield what is said of the trials beside the histograms of their durations."""
        if self.last is not None:
            yield Sample(s.LAST, (), self.last[2])
        made = (seconds_since_epoch(trial.metadata.creation_timestamp) or 0.0 for trial in self.pending)
        moment = max(self.last_end, *made, 0.0)
        if moment:
            yield Sample(s.LAST_TIME, (), moment)
        yield from (Sample(s.CANDIDATES, (optimizer,), count) for optimizer, count in sorted(self._candidates().items()))

    def _candidates(self) -> Counter[str]:
        waiting: dict[str, Search] = {}
        for trial in self.pending:
            if self._is_candidate(trial):
                waiting.setdefault(trial.spec.landscape or "", Search()).add(trial)
        newest = max([*self._searches.items(), *waiting.items()], key=lambda pair: pair[1].newest, default=None)
        if newest is None:
            return Counter()
        return sum((searches[newest[0]].chosen for searches in (self._searches, waiting) if newest[0] in searches), Counter())

    def _is_candidate(self, trial: MergeTrial) -> bool:
        searched = trial.spec.landscape is not None and trial.spec.split == "Search" and trial.spec.items == self.sample
        return searched and not is_superseded(trial)

    def _add(self, row: Parsed[MergeTrial], trial: MergeTrial) -> None:
        self._uids.add(row.uid)
        status = trial.status
        if status is None:
            return
        end = seconds_since_epoch(row.ended) or 0.0
        self.last_end = max(self.last_end, end)
        if status.seconds is not None:
            durations = self.durations.setdefault(trial.spec.split, Durations())
            durations.observe(float(status.seconds.merge) + float(status.seconds.evaluate))
        if self._is_candidate(trial):
            self._searches.setdefault(trial.spec.landscape or "", Search()).add(trial)
            if status.score is not None:
                found = (end, trial.spec.place, float(status.score))
                self.last = max(self.last, found) if self.last else found
