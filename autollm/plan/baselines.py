"""Baselines: the rows of the results table, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from autollm.contract.digests import digest_document
from autollm.plan.field import Field
from autollm.plan.problems import runner_up
from autollm.plan.revisions import known_weights
from autollm.plan.trainings import ALL
from autollm.plan.weights import exact_weights, normal
from autollm.resources.facts import MOST_NAMED, PublishedRevision
from autollm.resources.merge_trial import MergeTrial, WholeModel
from autollm.resources.run import RunSpec
from autollm.search import average

BASE, AVERAGE, AUTO, PUBLISHED = "base", "average", "auto", "published"


@dataclass(frozen=True)
class Row:
    """One line of the results table: a point of the space, or a whole model; equal identities are scored once."""

    name: str
    weights: Mapping[str, Decimal]
    model: WholeModel | None = None

    @property
    def identity(self) -> str:
        """What is scored, whatever it is called."""
        return self.model.digest if self.model is not None else digest_document(normal(self.weights))


def identity_of(trial: MergeTrial) -> str:
    """Return the identity of the row that a trial scores."""
    return Row("", trial.spec.weights, trial.spec.model).identity


def result_rows(spec: RunSpec, field: Field, finalists: Sequence[MergeTrial], replaced: PublishedRevision | None) -> tuple[Row, ...]:
    """Return the rows in the order of the table: baselines, finalists that are none of them, and the winner, `auto`."""
    auto = Row(AUTO, finalists[0].spec.weights)
    rows = list(_rows(spec, field, replaced))
    known = {row.identity for row in (*rows, auto)}
    runners_up = (Row(runner_up(place), trial.spec.weights) for place, trial in enumerate(finalists[1:], start=2))
    return (*rows, *(row for row in runners_up if row.identity not in known), auto)


def _rows(spec: RunSpec, field: Field, replaced: PublishedRevision | None) -> Iterator[Row]:
    wanted = spec.baselines
    # The gate and the constraints need what they compare with, whether or not it is wanted in the table.
    gated = {spec.publish.when.better_than, *(constraint.not_worse_than for constraint in spec.evaluation.constraints or [])}
    if wanted.base or BASE in gated or replaced is None:
        yield Row(BASE, {})
    if wanted.each and len(field.deltas) <= MOST_NAMED:
        yield from (Row(name, {name: Decimal(1)}) for name in field.deltas if name != ALL)
    if wanted.average and any(name != ALL for name in field.deltas):
        yield Row(AVERAGE, exact_weights(average(list(field.deltas))))
    if ALL in field.deltas:
        yield Row(ALL, {ALL: Decimal(1)})
    yield from (Row(point.name, point.weights) for point in wanted.manual or [])
    if replaced is not None and (wanted.published or PUBLISHED in gated):
        yield _published(field, replaced)


def _published(field: Field, revision: PublishedRevision) -> Row:
    """A point of the space if all of it is in the space, else the model as it was published."""
    known, whole = known_weights(revision, field.base, field.deltas)
    if whole:
        return Row(PUBLISHED, known)
    return Row(PUBLISHED, revision.weights or known, WholeModel(uri=revision.uri, digest=revision.digest))
