"""The field of a search: what is scored where, and which weights may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autollm.contract.tasks import EvaluateTask
from autollm.errors import InputError
from autollm.plan.landscape import Landscapes, evaluator, landscapes
from autollm.plan.problems import Problem
from autollm.plan.revisions import known_weights, latest_revision
from autollm.plan.snapshot import Snapshot
from autollm.plan.weights import plain_weights
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial
from autollm.search import Limits, Space, build_space, limits_of


@dataclass(frozen=True)
class Field:
    """Where a search takes place.

    Attributes:
        limits: What the document lets the weights be, of which the space is made.
        published: The weights of the revision in use, as far as its deltas are in the space.
    """

    prepared: Prepared
    landscapes: Landscapes
    space: Space
    limits: Limits
    template: EvaluateTask
    published: Mapping[str, float] | None

    @property
    def base(self) -> str:
        """The digest of the base model."""
        return self.prepared.model.digest

    @property
    def deltas(self) -> Mapping[str, str]:
        """The key of every delta by name, the oldest first."""
        return self.landscapes.deltas

    def allows(self, trial: MergeTrial) -> bool:
        """Say whether a trial's candidate may be chosen: one from before the document's space changed informs the search and no more."""
        return self.limits.allow(trial.spec.weights)

    def asks_for(self, trial: MergeTrial) -> bool:
        """Say whether a trial belongs to the run as it is now; on the test split baselines are scored, too, wherever they lie."""
        return self.landscapes.contains(trial) and (trial.spec.split == "Test" or self.allows(trial))


def lay_out(snapshot: Snapshot, prepared: Prepared, deltas: Mapping[str, str]) -> Field | Problem:
    """Return the field of a run whose deltas have these keys, or why its space leaves nothing to choose."""
    spec = snapshot.spec
    latest = latest_revision(snapshot.run.status)
    known = known_weights(latest, prepared.model.digest, deltas)[0] if latest and latest.base == prepared.model.digest else {}
    published = plain_weights(known) or None
    document = spec.search.space
    try:
        limits = limits_of(document, list(deltas))
        space = build_space(document, list(deltas), max_deltas=spec.search.max_deltas, published=published)
    except InputError as error:
        return Problem(error.reason, str(error))
    places, template = landscapes(spec, prepared, deltas), evaluator(snapshot.name, spec, prepared, deltas)
    return Field(prepared, places, space, limits, template, published)
