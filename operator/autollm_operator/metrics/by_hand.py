"""Trials that somebody made by hand for a run: in series of their own, since the search knows nothing of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from autollm.plan.landscape import is_pending
from autollm.resources.merge_trial import MergeTrial
from autollm_operator.cache.parsed import Parsed
from autollm_operator.metrics import series as s
from autollm_operator.metrics.series import Sample
from autollm_operator.metrics.standing import seconds_since_epoch


def by_hand_samples(trials: Sequence[Parsed[MergeTrial]]) -> Iterator[Sample]:
    """Yield how many are in which state, and the score of the one that ended last on each split; nothing where there is none."""
    if not trials:
        return
    states = Counter(_state(row.value) for row in trials if row.value is not None)
    yield from (Sample(s.BY_HAND, (state,), states[state]) for state in ("succeeded", "failed", "running"))
    last: dict[str, tuple[float, str, float]] = {}
    for row in trials:
        if row.value is not None and row.value.status is not None and row.value.status.score is not None:
            split = row.value.spec.split
            found = (seconds_since_epoch(row.ended) or 0.0, row.name, float(row.value.status.score))
            last[split] = max(last.get(split, found), found)
    yield from (Sample(s.BY_HAND_SCORE, (split,), score) for split, (_, _, score) in sorted(last.items()))


def _state(trial: MergeTrial) -> str:
    if is_pending(trial):
        return "running"
    return "succeeded" if trial.status is not None and trial.status.score is not None else "failed"
