"""What the queue holds: the names of the objects that are reconciled."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A run, or a training or trial that somebody made without one, by kind, namespace and name."""

    kind: str
    namespace: str
    name: str
