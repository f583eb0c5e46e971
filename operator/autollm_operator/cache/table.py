"""Rows of one kind: by name, by uid and by owner, the newest of each and none that was deleted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from autollm_operator.cache.views import Owner

TOMBSTONES = 4096
"""How many deleted objects are remembered, so that an event that comes late does not bring one back until the next full list."""


class Row(Protocol):
    """What every object has, whatever else is kept of it."""

    @property
    def namespace(self) -> str:
        """Where it is."""
        ...

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def uid(self) -> str:
        """Which one of that name it is."""
        ...

    @property
    def version(self) -> int:
        """Its resourceVersion."""
        ...

    @property
    def owner(self) -> Owner | None:
        """Its controller."""
        ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows of one kind; every operation takes the same time however many there are."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], R] = {}
        self._by_uid: dict[str, R] = {}
        self._by_owner: dict[str, dict[str, R]] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._by_name.values()))

    def get(self, namespace: str, name: str) -> R | None:
        """Return the row of a name."""
        return self._by_name.get((namespace, name))

    def find(self, uid: str) -> R | None:
        """Return the row of a uid."""
        return self._by_uid.get(uid)

    def of(self, owner_uid: str) -> tuple[R, ...]:
        """Return the rows that an object controls, in the order in which they became known."""
        return tuple(self._by_owner.get(owner_uid, {}).values())

    def put(self, row: R) -> bool:
        """Keep a row; False where a newer one is known, or the object was deleted since."""
        known = self.get(row.namespace, row.name)
        if known is not None and known.version >= row.version:
            return False
        if self._deleted.get(row.uid, -1) >= row.version:
            return False
        if known is not None and (known.uid != row.uid or known.owner != row.owner):
            self._remove(known)
        self._by_name[row.namespace, row.name] = row
        self._by_uid[row.uid] = row
        if row.owner is not None:
            self._by_owner.setdefault(row.owner.uid, {})[row.uid] = row
        return True

    def drop(self, namespace: str, name: str, uid: str, version: int) -> R | None:
        """Forget the object of a uid, and return its row if there was one; another of the same name stays."""
        self._deleted[uid] = max(version, self._deleted.pop(uid, -1))
        while len(self._deleted) > TOMBSTONES:
            self._deleted.popitem(last=False)
        known = self.get(namespace, name)
        if known is None or known.uid != uid or known.version > version:
            return None
        self._remove(known)
        return known

    def forget(self, namespace: str) -> None:
        """Forget the rows of a namespace, which may be there again as they are."""
        for row in self:
            if row.namespace == namespace:
                self._remove(row)

    def _remove(self, row: R) -> None:
        del self._by_name[row.namespace, row.name]
        del self._by_uid[row.uid]
        if row.owner is not None:
            siblings = self._by_owner[row.owner.uid]
            del siblings[row.uid]
            if not siblings:
                del self._by_owner[row.owner.uid]
