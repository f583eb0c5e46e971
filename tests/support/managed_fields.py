"""Who owns which field of a status: server-side apply with force, as far as our own resources need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]

_ATOMIC = frozenset({"weights"})
_KEYED_LISTS = {"conditions": "type", "results": "name"}


def leaves(value: Any, name: str = "", path: Path = ()) -> dict[Path, Any]:
    """Return every field of a value that is owned on its own, by its path; an item of a keyed list is `[key]`."""
    if isinstance(value, Mapping) and name not in _ATOMIC and value:
        return {found: leaf for key, item in value.items() for found, leaf in leaves(item, key, (*path, key)).items()}
    if isinstance(value, list) and name in _KEYED_LISTS:
        field = _KEYED_LISTS[name]
        return {found: leaf for item in value for found, leaf in leaves(item, "", (*path, f"[{item[field]}]")).items()}
    return {path: value}


def assemble(fields: Mapping[Path, Any]) -> dict[str, Any]:
    """Return the value of these leaves: the reverse of `leaves`."""
    tree: dict[str, Any] = {}
    for path, leaf in fields.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = leaf
    return {name: _untangled(item) for name, item in tree.items()}


def _untangled(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(name.startswith("[") for name in node):
        return [_untangled(item) for item in node.values()]
    return {name: _untangled(item) for name, item in node.items()}


class OwnedStatus:
    """The status of one object and the manager of each field in it."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._fields = leaves(status) if status else {}
        self._owners: dict[Path, set[str]] = {}

    def apply(self, manager: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Make these the fields that a manager owns: what it owned alone and leaves out is gone; return the whole status."""
        applied = leaves(status) if status else {}
        for path, owners in list(self._owners.items()):
            if manager in owners and path not in applied:
                owners.discard(manager)
                if not owners:
                    del self._owners[path]
                    self._fields.pop(path, None)
        for path, leaf in applied.items():
            owners = self._owners.setdefault(path, set())
            if self._fields.get(path, _NOTHING) != leaf:
                owners.clear()
            owners.add(manager)
            self._fields[path] = leaf
        return assemble(self._fields)

    def update(self, status: Mapping[str, Any]) -> None:
        """Take what a patch made of the status: fields that it changed belong to nobody who applies."""
        fields = leaves(status) if status else {}
        for path in [path for path in self._owners if fields.get(path, _NOTHING) != self._fields.get(path, _NOTHING)]:
            del self._owners[path]
        self._fields = fields


_NOTHING = object()
