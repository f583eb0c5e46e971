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
from autollm.search import Space, build_space


@dataclass(frozen=True)
class Field:
    """Where a search takes place; `published` are the weights of the revision in use, as far as its deltas are in the space."""

    prepared: Prepared
    landscapes: Landscapes
    space: Space
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


def lay_out(snapshot: Snapshot, prepared: Prepared, deltas: Mapping[str, str]) -> Field | Problem:
    """Return the field of a run whose deltas have these keys, or why its space leaves nothing to choose."""
    spec = snapshot.spec
    latest = latest_revision(snapshot.run.status)
    known = known_weights(latest, prepared.model.digest, deltas)[0] if latest and latest.base == prepared.model.digest else {}
    published = plain_weights(known) or None
    try:
        space = build_space(spec.search.space, list(deltas), max_deltas=spec.search.max_deltas, published=published)
    except InputError as error:
        return Problem(error.reason, str(error))
    return Field(prepared, landscapes(spec, prepared, deltas), space, evaluator(snapshot.name, spec, prepared, deltas), published)
