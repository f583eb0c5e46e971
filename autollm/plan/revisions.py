"""Which published revision is in use, and which one the winner of this round has to be better than."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from autollm.plan.weights import normal
from autollm.resources.compact import by_short_key, short_key
from autollm.resources.facts import PublishedRevision
from autollm.resources.run_status import RunStatus


def latest_revision(status: RunStatus | None) -> PublishedRevision | None:
    """Return what `latest` points to as far as is known: what a publish task reported since the last preparation, else what that saw."""
    if status is None:
        return None
    prepared, published = status.prepared, status.published
    if prepared is None or (published is not None and published.as_of == prepared.key):
        return published
    seen = prepared.published
    # What was published before, prepare need not say once more.
    return published if published is not None and seen is not None and published.digest == seen.digest else seen


def consists_of(revision: PublishedRevision, base: str, weights: Mapping[str, Decimal], deltas: Mapping[str, str]) -> bool:
    """Say whether a revision is the merge of these weights, by the keys of the deltas and not by their names."""
    return revision.base == base and normal(by_short_key(weights, deltas)) == normal(revision.merged)


def replaced_revision(
    status: RunStatus | None, base: str, winner: Mapping[str, Decimal], deltas: Mapping[str, str]
) -> PublishedRevision | None:
    """Return the revision that the winner is compared with: the latest, or once the winner is the latest, the one before it."""
    latest = latest_revision(status)
    if status is not None and latest is not None and consists_of(latest, base, winner, deltas):
        return status.replaces
    return latest


def known_weights(revision: PublishedRevision, base: str, deltas: Mapping[str, str]) -> tuple[dict[str, Decimal], bool]:
    """Return a revision's weights under the present names of its deltas, and whether these weights are all of it."""
    names = {short_key(key): name for name, key in reversed(list(deltas.items()))}
    merged = revision.merged
    known = {names[key]: weight for key, weight in merged.items() if key in names}
    return known, revision.base == base and len(known) == len(merged)
