"""The Kubernetes API in memory: what the operator's port promises, with faults, and hooks in place of controllers."""

from __future__ import annotations

import marshal
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVar, cast

from autollm_operator.api.port import FIELD_MANAGER, AlreadyExistsError, ConflictError, Document, InvalidError, NotFoundError, Propagation
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from support.managed_fields import OwnedStatus

WITH_STATUS = frozenset({RUNS, TRAININGS, TRIALS, JOBS, PODS})
BY_KIND = {resource.kind: resource for resource in WITH_STATUS}

T = TypeVar("T")
When = Literal["before", "after"]
Change = Literal["ADDED", "MODIFIED", "DELETED"]


class Call(NamedTuple):
    """One request: what a fault is asked about, and what tests count."""

    verb: str
    resource: Resource
    namespace: str
    name: str


Fault = Callable[[Call, When], None]
"""Called before a request takes effect, and after it did but before it is answered; raises what the caller is to see."""

Listener = Callable[[Change, Resource, Document], None]


class _Slot(NamedTuple):
    resource: Resource
    namespace: str
    name: str


class FakeApi:
    """Objects in a dict; every write is announced to the listeners in order, while no other write can happen.

    Attributes:
        fault: Raises what a request shall fail with.
        calls: Every request so far.
        holds: Says of an object whose deletion has begun whether something still runs for it, as a pod in its grace period does;
            until `release`, it stays, and so does the owner that waits for it.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.fault: Fault = lambda call, when: None
        self.holds: Callable[[Resource, Document], bool] = lambda resource, document: False
        self.calls: list[Call] = []
        self._clock = clock
        self._lock = threading.RLock()
        self._objects: dict[_Slot, Document] = {}
        self._statuses: dict[str, OwnedStatus] = {}
        self._listeners: list[Listener] = []
        self._version = 1000
        self._made = 0

    def listen(self, listener: Listener) -> None:
        """Announce every write from now on."""
        self._listeners.append(listener)

    def as_manager(self, manager: str) -> FakeApiAs:
        """Return the same API for another field manager, as a worker has it."""
        return FakeApiAs(self, manager)

    def release(self, resource: Resource, namespace: str, name: str) -> None:
        """End what an object's deletion waited for."""
        with self._lock:
            self._finish(_Slot(resource, namespace, name), held=lambda resource, document: False)

    def writes(self) -> tuple[Call, ...]:
        """Return the requests that change something."""
        return tuple(call for call in self.calls if call.verb not in {"get", "list"})

    # The port

    def list(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> Iterator[Document]:
        call = Call("list", resource, namespace or "", "")
        self._asked(call)
        wanted = dict(term.split("=", 1) for term in labels.split(",") if term)
        with self._lock:
            found = [
                _copy(document)
                for slot, document in sorted(self._objects.items(), key=lambda item: item[0][1:])
                if slot.resource == resource and namespace in (None, slot.namespace)
                if wanted.items() <= document["metadata"].get("labels", {}).items()
            ]
        self.fault(call, "after")
        return iter(found)

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        call = Call("get", resource, namespace, name)
        self._asked(call)
        with self._lock:
            document = _copy(self._found(_Slot(resource, namespace, name)))
        self.fault(call, "after")
        return document

    def create(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        namespace, name = document["metadata"]["namespace"], document["metadata"].get("name", "")
        call = Call("create", resource, namespace, name)
        self._asked(call)
        with self._lock:
            slot = _Slot(resource, namespace, name)
            if not name:
                raise InvalidError(f"a {resource.kind} without a name", status=422)
            if slot in self._objects:
                raise AlreadyExistsError(f'{resource.plural} "{name}" already exists', status=409)
            stored = self._make(slot, document)
        self.fault(call, "after")
        return stored

    def ensure(self, resource: Resource, namespace: str, name: str) -> Document:
        call = Call("ensure", resource, namespace, name)
        self._asked(call)
        with self._lock:
            slot = _Slot(resource, namespace, name)
            there = slot in self._objects
            stored = _copy(self._objects[slot]) if there else self._make(slot, {"metadata": {"namespace": namespace, "name": name}})
        self.fault(call, "after")
        return stored

    def apply_status(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        return self.apply_status_as(FIELD_MANAGER, resource, document)

    def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str | None = None) -> Document:
        call = Call("patch" if subresource is None else f"patch/{subresource}", resource, namespace, name)
        self._asked(call)
        with self._lock:
            slot = _Slot(resource, namespace, name)
            before = self._found(slot)
            metadata = patch.get("metadata", {})
            _check(before, metadata, "resourceVersion")
            after = _merged(before, {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")})
            after["metadata"] |= {"uid": before["metadata"]["uid"]}
            if subresource == "status":
                after = {**_copy(before), "status": after.get("status", {})}
                self._status(before).update(after["status"])
            elif resource in WITH_STATUS:
                after.pop("status", None)
                after |= {"status": before["status"]} if "status" in before else {}
            if after.get("spec") != before.get("spec"):
                after["metadata"]["generation"] += 1
            stored = self._store(slot, after, "MODIFIED")
            _check(stored, metadata, "uid")
            if "deletionTimestamp" in stored["metadata"]:
                self._finish(slot, held=self.holds)
        self.fault(call, "after")
        return stored

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: Propagation = "Background",
    ) -> None:
        self._delete(Call("delete", resource, namespace, name), uid, propagation)

    def evict(self, namespace: str, name: str, *, uid: str, grace_seconds: int) -> None:
        self._delete(Call("evict", PODS, namespace, name), uid, grace_seconds=grace_seconds)

    def _delete(self, call: Call, uid: str, propagation: Propagation = "Background", grace_seconds: int = 0) -> None:
        self._asked(call)
        with self._lock:
            slot = _Slot(call.resource, call.namespace, call.name)
            document = self._objects.get(slot)
            if document is not None and document["metadata"]["uid"] == uid:
                if propagation == "Foreground":
                    self._begin_deletion(slot, grace_seconds)
                    for dependent in self._dependents(uid):
                        self._begin_deletion(dependent, 0)
                        self._finish(dependent, held=self.holds)
                self._finish(slot, held=self.holds, grace_seconds=grace_seconds)
        self.fault(call, "after")

    # Beside it

    def apply_status_as(self, manager: str, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Apply a status as another field manager does."""
        metadata = document["metadata"]
        call = Call("apply_status", resource, metadata["namespace"], metadata["name"])
        self._asked(call)
        with self._lock:
            slot = _Slot(resource, metadata["namespace"], metadata["name"])
            before = self._found(slot)
            _check(before, metadata, "resourceVersion")
            applied = self._status(before).apply(manager, _copy(document.get("status", {})))
            stored = self._store(slot, {**_copy(before), "status": applied}, "MODIFIED")
            _check(stored, metadata, "uid")
        self.fault(call, "after")
        return stored

    def _asked(self, call: Call) -> None:
        self.calls.append(call)
        self.fault(call, "before")

    def _found(self, slot: _Slot) -> Document:
        if slot not in self._objects:
            raise NotFoundError(f'{slot.resource.plural} "{slot.name}" not found', status=404)
        return self._objects[slot]

    def _status(self, document: Document) -> OwnedStatus:
        return self._statuses.setdefault(document["metadata"]["uid"], OwnedStatus(document.get("status", {})))

    def _make(self, slot: _Slot, document: Mapping[str, Any]) -> Document:
        self._made += 1
        made = {"apiVersion": slot.resource.api_version, "kind": slot.resource.kind, **_copy(dict(document))}
        made["metadata"] |= {
            "uid": f"00000000-0000-4000-8000-{self._made:012d}",
            "creationTimestamp": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
        }
        if slot.resource in WITH_STATUS:
            made.pop("status", None)
        return self._store(slot, made, "ADDED")

    def _store(self, slot: _Slot, document: Document, change: Change) -> Document:
        if document != self._objects.get(slot):
            self._version += 1
            document["metadata"]["resourceVersion"] = str(self._version)
            self._objects[slot] = document
            self._announce(change, slot, document)
        return _copy(document)

    def _announce(self, change: Change, slot: _Slot, document: Document) -> None:
        for listener in self._listeners:
            listener(change, slot.resource, _copy(document))

    def _begin_deletion(self, slot: _Slot, grace_seconds: int) -> None:
        document = _copy(self._objects[slot])
        if "deletionTimestamp" not in document["metadata"]:
            at = self._clock() + timedelta(seconds=grace_seconds)
            document["metadata"]["deletionTimestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            document["metadata"]["generation"] += 1
            self._store(slot, document, "MODIFIED")

    def _dependents(self, uid: str) -> tuple[_Slot, ...]:
        return tuple(
            slot
            for slot, document in self._objects.items()
            if any(reference["uid"] == uid for reference in document["metadata"].get("ownerReferences", []))
        )

    def _finish(self, slot: _Slot, *, held: Callable[[Resource, Document], bool], grace_seconds: int = 0) -> None:
        document = self._objects.get(slot)
        if document is None:
            return
        uid = document["metadata"]["uid"]
        waiting = "deletionTimestamp" in document["metadata"] and any(dependent in self._objects for dependent in self._dependents(uid))
        if waiting or document["metadata"].get("finalizers") or held(slot.resource, document):
            self._begin_deletion(slot, grace_seconds)
            return
        del self._objects[slot]
        self._statuses.pop(uid, None)
        self._version += 1
        gone = _copy(document)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._announce("DELETED", slot, gone)
        for dependent in self._dependents(uid):
            self._finish(dependent, held=self.holds)
        for reference in document["metadata"].get("ownerReferences", []):
            owner = _Slot(BY_KIND.get(reference["kind"], slot.resource), slot.namespace, reference["name"])
            if "deletionTimestamp" in self._objects.get(owner, {"metadata": {}})["metadata"]:
                self._finish(owner, held=self.holds)


def _copy(document: T) -> T:
    """Return a copy of JSON values: several times as fast as `deepcopy`, and tests copy a lot."""
    copied: T = marshal.loads(marshal.dumps(cast("Any", document)))
    return copied


class FakeApiAs:
    """One manager's view of a FakeApi: another name on the fields it applies."""

    def __init__(self, api: FakeApi, manager: str) -> None:
        self.manager = manager
        self.list = api.list
        self.get = api.get
        self.create = api.create
        self.ensure = api.ensure
        self.patch = api.patch
        self.delete = api.delete
        self.evict = api.evict
        self._api = api

    def apply_status(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        return self._api.apply_status_as(self.manager, resource, document)


def _check(document: Document, metadata: Mapping[str, Any], field: str) -> None:
    """Compare as the API server does: a resourceVersion before a write, a uid not until then."""
    found = document["metadata"][field]
    if metadata.get(field, found) != found:
        raise ConflictError(f"{document['metadata']['name']} is another object by now: its {field} is {found}", status=409)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return _copy(patch)
    result = dict(_copy(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
