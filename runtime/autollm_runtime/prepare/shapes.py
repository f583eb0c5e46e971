"""Which records which method can learn from; and the refusal of data that nothing could use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autollm.errors import InputError
from autollm.plan.trainings import USABLE
from autollm.resources.facts import ChunkFact, Shape
from autollm.resources.training import Method

_WORDS: Mapping[Shape, str] = {"messages": "chats", "preference": "preferences", "text": "texts"}


def check_uses(methods: Sequence[Method], shapes: Mapping[str, frozenset[Shape]]) -> None:
    """Check that every training source feeds a method and every method finds records.

    `shapes` gives the shapes of the training records by source. Raises InputError (ShapeUnused, MethodWithoutRecords).
    """
    for source, found in shapes.items():
        if found and not any(_takes(method, source) and USABLE[method.kind] & found for method in methods):
            raise InputError(
                f"source {source} has only {_listed(found)}, and no method learns from them: {_wants(methods, source)}; "
                f"add a method that does ({_fitting(found)}), or give the records another form",
                reason="ShapeUnused",
            )
    for method in methods:
        found = frozenset(shape for source, had in shapes.items() if _takes(method, source) for shape in had)
        if not USABLE[method.kind] & found:
            where = ", ".join(source for source in shapes if _takes(method, source)) or "none"
            raise InputError(
                f"method {method.name} ({method.kind}) learns from {_listed(USABLE[method.kind])}, and its sources ({where}) have "
                f"{_listed(found) or 'no records to train on'}; add such records, or remove the method",
                reason="MethodWithoutRecords",
            )


def shapes_by_source(chunks: Sequence[ChunkFact]) -> dict[str, frozenset[Shape]]:
    """Return the shapes of the training records by source, or by pool."""
    found: dict[str, frozenset[Shape]] = {}
    for chunk in chunks:
        found[chunk.source] = found.get(chunk.source, frozenset()) | frozenset(chunk.shapes)
    return found


def _takes(method: Method, source: str) -> bool:
    return method.sources is None or source in method.sources


def _wants(methods: Sequence[Method], source: str) -> str:
    named = [f"{method.name} ({method.kind}) needs {_listed(USABLE[method.kind])}" for method in methods if _takes(method, source)]
    return ", ".join(named) or "none is meant for this source"


def _fitting(shapes: frozenset[Shape]) -> str:
    return " or ".join(kind for kind, uses in USABLE.items() if uses & shapes)


def _listed(shapes: frozenset[Shape]) -> str:
    return " or ".join(_WORDS[shape] for shape in sorted(shapes))
