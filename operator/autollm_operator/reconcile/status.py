"""Status, by server-side apply: written where it differs from what is there, and never fought over with others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from autollm.plan.conditions import STAGES, settle
from autollm.plan.problems import Problem
from autollm.plan.step import Verdict
from autollm.resources.delta_training import DeltaTrainingStatus
from autollm.resources.merge_trial import MergeTrialStatus
from autollm.resources.metadata import Condition
from autollm.resources.run_status import RunStatus
from autollm_operator.api.port import Api
from autollm_operator.api.resources import Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.parsed import Parsed

AnyStatus = RunStatus | DeltaTrainingStatus | MergeTrialStatus
OTHERS = {"prepared", "published"}
"""Fields of a run's status that workers write."""

REMEMBERED = 8192


class Statuses:
    """Writes statuses through the API and into the cache."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache
        # What was asked for last, and what stood there afterwards: where somebody holds another field or value than ours, asking for the
        # same again would change nothing, and never end.
        self._written: OrderedDict[str, tuple[AnyStatus, AnyStatus]] = OrderedDict()

    def write(self, resource: Resource, target: Parsed[Any], status: AnyStatus) -> bool:
        """Apply the fields of ours; say whether that was necessary.

        Raises NotFoundError and ConflictError where the object is gone, another of its name is there, or somebody has written it since it
        was seen so: nothing is written then.
        """
        before = _ours(_status_of(target, type(status)), status)
        if before == status or self._written.get(target.uid) == (status, before):
            return False
        answer = self._apply(resource, target, status.document())
        self._cache.put(resource, answer)
        while len(self._written) >= REMEMBERED:
            self._written.popitem(last=False)
        self._written[target.uid] = (status, _ours(type(status).parse(answer.get("status") or {}), status))
        return True

    def write_problem(self, resource: Resource, target: Parsed[Any], problem: Problem, now: datetime) -> bool:
        """Say what is wrong with an object that cannot be parsed, and leave the rest of its status; say whether that was necessary."""
        kept = {name: value for name, value in target.raw_status.items() if name not in OTHERS}
        before: dict[str, Mapping[str, Any]] = {condition["type"]: condition for condition in kept.get("conditions") or ()}
        known = _known(before.values())
        told = {condition.type: condition.document() for condition in settle(known, _verdicts(problem, known), target.generation, now)}
        parts = ("status", "reason", "message", "observedGeneration")
        if all(before.get(name, {}).get(part) == told[name].get(part) for name in told for part in parts):
            return False
        fields = {"observedGeneration": target.generation, "conditions": [*({**before, **told}).values()]}
        answer = self._apply(resource, target, kept | fields)
        self._cache.put(resource, answer)
        return True

    def _apply(self, resource: Resource, target: Parsed[Any], status: Mapping[str, Any]) -> dict[str, Any]:
        # The version, because the uid alone keeps no status of a deleted object from another of its name, which would take it for its own.
        identity = {"uid": target.uid, "resourceVersion": str(target.version)}
        metadata = {"name": target.name, "namespace": target.namespace, **identity}
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": status}
        return self._api.apply_status(resource, document)


def with_problem(status: RunStatus, problem: Problem, before: Sequence[Condition], generation: int, now: datetime) -> RunStatus:
    """Return a status that says what is in the way of a run which could go on without it; `before` are the conditions that it has now."""
    now_held = status.conditions or []
    told = {condition.type: condition for condition in settle(before, _verdicts(problem, now_held), generation, now)}
    return status.model_copy(update={"conditions": [told.get(condition.type, condition) for condition in now_held]})


def is_stalled(status: RunStatus, generation: int) -> bool:
    """Say whether a status tells that something is in the way of this generation."""
    stalled = condition_of(status, "Stalled")
    return stalled is not None and stalled.status == "True" and stalled.observed_generation == generation


def told_before(before: RunStatus, planned: RunStatus, generation: int) -> Problem | None:
    """Return what an earlier process said was in the way, and no plan says: it stands until the actions have been tried once."""
    stalled, succeeded = condition_of(before, "Stalled"), condition_of(before, "Succeeded")
    if stalled is None or not is_stalled(before, generation) or is_stalled(planned, generation):
        return None
    if succeeded is None or succeeded.status == "False":
        return None
    return Problem(stalled.reason, stalled.message)


def condition_of(status: RunStatus, name: str) -> Condition | None:
    """Return the condition of a type, or None where the status has none."""
    return next((condition for condition in status.conditions or [] if condition.type == name), None)


def _verdicts(problem: Problem, held: Iterable[Condition]) -> list[Verdict]:
    held = tuple(held)
    doing = next((condition.reason for condition in held if condition.type == "Reconciling"), "")
    # A stage that is not done is not under way either: it says what it waits for.
    stages = [
        Verdict(stage, "Unknown", problem.reason, problem.message)
        for stage in STAGES
        if any((one.type, one.status, one.reason) == (stage, "Unknown", doing) for one in held)
    ]
    verdicts = [*stages, Verdict("Reconciling", "False", problem.reason), Verdict("Stalled", "True", problem.reason, problem.message)]
    if any(condition.type == "Succeeded" and condition.status == "True" for condition in held):
        return verdicts  # what has succeeded has, whatever is in the way of the next round
    return [*verdicts, Verdict("Succeeded", "Unknown", problem.reason, problem.message)]


def _known(conditions: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Return those that can be read here: their transition times are kept."""
    known = []
    for condition in conditions:
        with suppress(ValidationError):
            known.append(Condition.model_validate(condition))
    return known


def _status_of(target: Parsed[Any], kind: type[AnyStatus]) -> AnyStatus:
    return (target.value.status if target.value is not None else None) or kind()


def _ours(stored: AnyStatus, wanted: AnyStatus) -> AnyStatus:
    """Return what is stored without the fields that workers write, unless this status sets them."""
    others = (
        {"prepared", "published"} if isinstance(wanted, RunStatus) else {"progress"} if isinstance(wanted, DeltaTrainingStatus) else set()
    )
    if isinstance(wanted, DeltaTrainingStatus) and wanted.delta is None:
        others.add("delta")
    return stored.model_copy(update=dict.fromkeys(others))
