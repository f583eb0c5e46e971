"""Children of a run, a training or a trial: made once, recognised as ours where they are there, and waited for while an old one leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autollm.contract.pod import GENERATION_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL
from autollm.errors import AutoLLMError
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import API_VERSION
from autollm_operator.api.port import AlreadyExistsError, Api, Document, ForbiddenError, InvalidError, NotFoundError
from autollm_operator.api.resources import TRAININGS, WATCHED, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed, controller
from autollm_operator.cache.views import Owner


class Obstacle(AutoLLMError):
    """Something that a user has to move out of the way; tried again now and then."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotYet(AutoLLMError):
    """Something else has to come first: try again in a moment."""


class BeingDeleted(NotYet):
    """An earlier object of the same name is on its way out; worth telling where it stays."""


@dataclass(frozen=True)
class Parent:
    """Whose children are made."""

    owner: Owner
    namespace: str
    run: str
    generation: int

    def metadata(self, name: str) -> dict[str, Any]:
        """Return the metadata of a child."""
        reference = {
            "apiVersion": API_VERSION,
            "kind": self.owner.kind,
            "name": self.owner.name,
            "uid": self.owner.uid,
            "controller": True,
        }
        labels = {RUN_LABEL: self.run, GENERATION_LABEL: str(self.generation), MANAGED_BY_LABEL: MANAGED_BY}
        return {"name": name, "namespace": self.namespace, "labels": labels, "ownerReferences": [reference]}

    def child(self, value: DeltaTraining | MergeTrial) -> Document:
        """Return the document of a training or a trial."""
        return {**value.document(), "metadata": self.metadata(value.metadata.name)}


def create(api: Api, cache: Cache, resource: Resource, document: Mapping[str, Any]) -> bool:
    """Create a child and take it into the cache, or the one that is there already, if it is ours; say whether the cache knows more now.

    Raises Obstacle where the name is somebody else's or the API server does not accept the document, BeingDeleted where an earlier object
    of that name still is.
    """
    metadata = document["metadata"]
    place = f"{resource.kind} {metadata['name']}"
    try:
        found = api.create(resource, document)
    except AlreadyExistsError:
        found = _recognised(api, resource, metadata)
    except InvalidError as error:
        raise Obstacle("Refused", f"The API server does not accept the {place}: {error}") from error
    except ForbiddenError as error:
        raise Obstacle("Forbidden", f"The {place} may not be created: {error}") from error
    return resource in WATCHED and bool(cache.put(resource, found))


def _recognised(api: Api, resource: Resource, wanted: Mapping[str, Any]) -> Document:
    """Return the object that has the name already, if it is ours."""
    namespace, name = wanted["namespace"], wanted["name"]
    try:
        found = api.get(resource, namespace, name)
    except NotFoundError as error:
        raise BeingDeleted(f"the {resource.kind} {name} was being deleted") from error
    metadata = found["metadata"]
    if "deletionTimestamp" in metadata:
        raise BeingDeleted(f"the {resource.kind} {name} is being deleted")
    theirs, ours = controller(metadata), controller(wanted)
    if theirs != ours:
        if theirs is not None and ours is not None and (theirs.kind, theirs.name) == (ours.kind, ours.name):
            # That owner was deleted and made again; the garbage collector has yet to come by.
            raise BeingDeleted(f"the {resource.kind} {name} belongs to an earlier {theirs.kind} {theirs.name} and is about to be deleted")
        whose = f"belongs to the {theirs.kind} {theirs.name}" if theirs else "was made by somebody else"
        message = (
            f"The {resource.kind} {name} is needed, but one of that name is there and {whose}: delete it, or give the run another name."
        )
        raise Obstacle("NameTaken", message)
    if resource in WATCHED and not wanted["labels"].items() <= (metadata.get("labels") or {}).items():
        # Without its labels it would not be watched.
        return api.patch(resource, namespace, name, {"metadata": {"uid": metadata["uid"], "labels": dict(wanted["labels"])}})
    return found


def own_training(cache: Cache, parent: Parent, name: str) -> Parsed[DeltaTraining]:
    """Return a training of the parent's, or the parent itself; raises NotYet for one that is somebody else's, or being deleted."""
    training = cache.training(Key(TRAININGS.kind, parent.namespace, name))
    if training is None or training.deleting or parent.owner.uid not in (training.uid, training.owner.uid if training.owner else ""):
        raise NotYet(f"the DeltaTraining {name} is not there any more")
    return training
