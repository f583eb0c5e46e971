"""The gate: whether the winner is provably better on the test split, and gives up nothing it must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autollm.plan.baselines import BASE, PUBLISHED, Row
from autollm.resources.facts import Difference
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import RunSpec


@dataclass(frozen=True)
class Gate:
    """Whether the winner may be published, and why or why not."""

    passed: bool
    reason: str
    message: str


def judge(spec: RunSpec, rows: Sequence[Row], trials: Mapping[str, MergeTrial], winner: MergeTrial) -> Gate:
    """Judge the winner by its paired differences to the other rows; the last row is the winner."""
    references = {row.name: row for row in rows}
    name = spec.publish.when.better_than if spec.publish.when.better_than in references else BASE
    if rows[-1].identity == references[name].identity:
        return Gate(False, "NothingBetter", f"The search found nothing better than {_called(name)} itself.")
    found = _difference(winner, trials, references[name], None)
    if found is None:
        return Gate(False, "NothingToCompareWith", f"{_called(name).capitalize()} has no score on the test split to compare with.")
    measured = (
        f"auto is {found.difference:+.4g} against {_called(name)} on the test split (95 % interval {found.low:+.4g} to {found.high:+.4g}; "
        f"at least {found.gate_low:+.4g} with confidence {spec.publish.when.confidence})"
    )
    if found.gate_low <= 0:
        return Gate(False, "NotBetter", f"Not provably better: {measured}.")
    broken = list(_broken(spec, references, rows[-1], trials, winner))
    if broken:
        return Gate(False, "ConstraintBroken", "; ".join(broken) + ".")
    return Gate(True, "Better", f"Better: {measured}.")


def _broken(spec: RunSpec, references: Mapping[str, Row], auto: Row, trials: Mapping[str, MergeTrial], winner: MergeTrial) -> Iterator[str]:
    for constraint in spec.evaluation.constraints or []:
        name = constraint.not_worse_than if constraint.not_worse_than in references else BASE
        if references[name].identity == auto.identity:
            continue
        found = _difference(winner, trials, references[name], constraint.metric)
        if found is None:
            yield f"evaluation.constraints: {constraint.metric} was not scored for {_called(name)}, so it cannot be kept to"
        elif found.gate_low < -constraint.margin:
            yield (
                f"evaluation.constraints: {constraint.metric} may fall by {constraint.margin} below {_called(name)}, and may have fallen "
                f"by {-found.gate_low:.4g} (difference {found.difference:+.4g}, confidence {spec.publish.when.confidence})"
            )


def _difference(winner: MergeTrial, trials: Mapping[str, MergeTrial], row: Row, metric: str | None) -> Difference | None:
    trial = trials.get(row.identity)
    found = winner.status.differences if winner.status else None
    if trial is None or found is None:
        return None
    return next((one for one in found if one.trial == trial.metadata.name and one.metric == metric), None)


def _called(name: str) -> str:
    return "the published revision" if name == PUBLISHED else "the base model"
