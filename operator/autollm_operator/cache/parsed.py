"""Runs, trainings and trials: parsed once, when they become known; what cannot be parsed is kept as that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from autollm.contract.pod import GENERATION_LABEL, RUN_LABEL
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.model import Model
from autollm.resources.run import AutoLLMRun
from autollm_operator.api.resources import RUNS
from autollm_operator.cache.views import Owner

T = TypeVar("T", AutoLLMRun, DeltaTraining, MergeTrial)

KEPT_METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp")
KEPT_LABELS = (RUN_LABEL, GENERATION_LABEL)

LOOK_AGAIN_ANNOTATION = "autollm.dev/look-again"
"""What somebody writes on a run so that its sources and artifacts are looked at again: any text that was not there, such as the time."""

UNPLANNED: Mapping[str, Any] = {"conditions": None, "metrics": [], "sources": []}
"""What nobody plans with in the status of a trial that belongs to a run; of thousands of trials it is most of the memory."""


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A run, a training or a trial as it was last seen.

    Attributes:
        version: Its resourceVersion.
        owner: Its controller, if it has one.
        leaves_children: Whether whoever deletes it asked for what it owns to stay (kubectl delete --cascade=orphan).
        value: None where this version of the operator cannot read it.
        problem: Why it cannot, as a sentence; empty where it can.
        raw_status: The status as it is stored, of what cannot be read; empty otherwise.
        ended: Of a trial that has an outcome, when its condition Succeeded changed to it, as a metav1.Time; empty otherwise.
    """

    namespace: str
    name: str
    uid: str
    version: int
    generation: int
    owner: Owner | None
    deleting: bool
    value: T | None
    problem: str = ""
    raw_status: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""
    leaves_children: bool = False


def parse_run(document: Mapping[str, Any]) -> Parsed[AutoLLMRun]:
    """Parse an AutoLLMRun."""
    return _parsed(AutoLLMRun, document, document.get("status"))


def parse_training(document: Mapping[str, Any]) -> Parsed[DeltaTraining]:
    """Parse a DeltaTraining."""
    return _parsed(DeltaTraining, document, document.get("status"))


def parse_trial(document: Mapping[str, Any]) -> Parsed[MergeTrial]:
    """Parse a MergeTrial; of one that belongs to a run, only what is planned with."""
    status = document.get("status")
    ended = _ended(status or {})
    if status and is_of_a_run(controller(document["metadata"])):
        status = {**status, **UNPLANNED}
    return _parsed(MergeTrial, {**document, "spec": _shared(document.get("spec"))}, status, ended)


def without_progress(row: Parsed[DeltaTraining]) -> Parsed[DeltaTraining]:
    """Return a training without how far it is: each tells that every ten seconds, it is shown, and nobody plans with it."""
    if row.value is None or row.value.status is None or row.value.status.progress is None:
        return row
    status = row.value.status.model_copy(update={"progress": None})
    return replace(row, value=row.value.model_copy(update={"status": status}))


def _shared(spec: Any) -> Any:
    """Return a trial's spec whose longest texts are held once for all trials that have the same."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("weights"), Mapping) or not isinstance(spec.get("landscape", ""), str):
        return spec
    weights = {intern(name): weight for name, weight in spec["weights"].items()}
    return {**spec, "weights": weights} | ({"landscape": intern(spec["landscape"])} if "landscape" in spec else {})


def controller(metadata: Mapping[str, Any]) -> Owner | None:
    """Return the one owner that controls an object."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return Owner(intern(reference["kind"]), intern(reference["name"]), intern(reference["uid"]))
    return None


def is_of_a_run(owner: Owner | None) -> bool:
    """Say whether an object belongs to a run, which then is looked at in its place."""
    return owner is not None and owner.kind == RUNS.kind


def _ended(status: Mapping[str, Any]) -> str:
    held = {condition["type"]: condition for condition in status.get("conditions") or ()}
    succeeded = held.get("Succeeded", {})
    return intern(succeeded.get("lastTransitionTime", "")) if succeeded.get("status") in ("True", "False") else ""


def _parsed(kind: type[T], document: Mapping[str, Any], status: Mapping[str, Any] | None, ended: str = "") -> Parsed[T]:
    metadata = document["metadata"]
    kept: dict[str, Any] = {name: metadata[name] for name in KEPT_METADATA if name in metadata}
    if labels := {name: value for name, value in (metadata.get("labels") or {}).items() if name in KEPT_LABELS}:
        kept["labels"] = labels
    if asked := (metadata.get("annotations") or {}).get(LOOK_AGAIN_ANNOTATION):
        kept["annotations"] = {LOOK_AGAIN_ANNOTATION: asked}
    value, problem = None, ""
    try:
        value = kind.parse({**document, "metadata": kept, "status": status or None})
    except ValidationError as error:
        problem = _told(kind, error)
    return Parsed(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        generation=metadata.get("generation", 1),
        owner=controller(metadata),
        deleting="deletionTimestamp" in metadata,
        value=value,
        problem=problem,
        raw_status={} if value is not None else dict(document.get("status") or {}),
        ended=ended,
        leaves_children="orphan" in (metadata.get("finalizers") or ()),
    )


def _told(kind: type[Model], error: ValidationError) -> str:
    """Name the field, never its value, which may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or kind.__name__
    return f"{place}: {first['msg']}"
