"""What is wrong with a run that no schema can see: found before any work is spent on it, told so that it can be mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from autollm.plan.trainings import USABLE, PlannedTraining, fits, in_order
from autollm.resources.facts import Prepared
from autollm.resources.quantities import contradiction
from autollm.resources.run import RunSpec
from autollm.search.limits import matches

RESERVED = ("base", "all", "average", "auto", "published")
FEWEST_ITEMS = 2
MOST_DELTAS = 2000
"""What weights are given to in one document, and an evaluator's task has room for."""


@dataclass(frozen=True)
class Problem:
    """A reason in CamelCase, and a sentence that names the field, its value and what would be right."""

    reason: str
    message: str


def document_problem(spec: RunSpec) -> Problem | None:
    """Return what is wrong with the document by itself."""
    return next(_document_problems(spec), None)


def data_problem(spec: RunSpec, prepared: Prepared, planned: Sequence[PlannedTraining]) -> Problem | None:
    """Return where the document and the prepared data do not fit each other."""
    return next(_data_problems(spec, prepared, planned), None)


def runner_up(place: int) -> str:
    """Return the row of the results table of the finalist in this place; the first is `auto`."""
    return f"finalist-{place}"


def _document_problems(spec: RunSpec) -> Iterator[Problem]:
    ordered = {method.name for method in in_order(spec.training.methods)}
    if circle := [method.name for method in spec.training.methods if method.name not in ordered]:
        yield Problem(
            "CircularMethods",
            f"training.methods: {_listed(circle)} wait for each other by `after`; let one of them start from the base, without `after`.",
        )
    sources = [source.name for source in spec.sources]
    for metric in spec.evaluation.effective_metrics:
        for name in metric.sources or []:
            if name not in sources:
                yield Problem(
                    "UnknownSource",
                    f"evaluation.metrics: the metric {metric.name} is for the source {name}, which this run does not have"
                    f"{instead(name, sources)}.",
                )
    taken = {*RESERVED, *(runner_up(place) for place in range(2, spec.search.finalists + 1))}
    for field, names in (
        ("deltas", [delta.name for delta in spec.deltas or []]),
        ("baselines.manual", [point.name for point in spec.baselines.manual or []]),
    ):
        for name in names:
            if name in taken:
                yield Problem("NameTaken", f"{field}: the name {name} stands for another row of the results table; choose a different one.")
        taken.update(names)
    for kind, asked in spec.workers.by_kind.items():
        if (wrong := contradiction(asked.resources)) is not None:
            yield Problem("ContradictoryResources", f"workers.{kind}.resources.{wrong}")


def _data_problems(spec: RunSpec, prepared: Prepared, planned: Sequence[PlannedTraining]) -> Iterator[Problem]:
    made = {training.delta for training in planned}
    if len(made) > MOST_DELTAS:
        yield Problem(
            "TooManyDeltas",
            f"training.methods: {len(spec.training.methods)} methods on {len(prepared.chunks)} chunks make {len(made)} deltas, but a run "
            f"may have {MOST_DELTAS}; raise data.chunk.maxRecords, or ask for fewer methods.",
        )
    for method in spec.training.methods:
        if not any(f"{chunk.name}/{method.name}" in made for chunk in prepared.chunks):
            yield Problem("MethodFitsNothing", _why_unfit(spec, prepared, method.name))
    used = {training.spec.chunk.name for training in planned}
    for chunk in prepared.chunks:
        if chunk.name not in used:
            yield Problem(
                "ChunkUnused",
                f"sources: no method can train on {chunk.name}, whose records are {_listed(sorted(chunk.shapes))}; add one that can "
                f"({_listed(_methods_for(chunk.shapes))}), allow it that source, or set `use: Search` or `use: Test` on the source.",
            )
    names = [*(training.delta for training in planned), *(delta.name for delta in prepared.imported)]
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem("NameTaken", f"sources: {count} deltas would be called {name}; rename one of the sources or ready-made deltas.")
    for field, weighted in _weighted(spec):
        for name in weighted:
            if name not in names:
                yield Problem("UnknownDelta", f"{field}: there is no delta {name}{instead(name, names)}.")
    for entry in spec.search.space.deltas or []:
        if not any(matches(entry.match, name) for name in names):
            yield Problem(
                "PatternMatchesNothing",
                f"search.space.deltas: the pattern {entry.match} matches none of the deltas {_listed(names)}.",
            )
    for split, count in (("search", prepared.search.count), ("test", prepared.test.count)):
        if count < FEWEST_ITEMS:
            yield Problem(
                "TooFewItems",
                f"data.split.{split}: {count} records are held out for {split}, but scores need at least {FEWEST_ITEMS}; raise the share, "
                f"add records, or add a source with `use: {split.capitalize()}`.",
            )


def _why_unfit(spec: RunSpec, prepared: Prepared, name: str) -> str:
    method = next(method for method in spec.training.methods if method.name == name)
    shapes = sorted({shape for chunk in prepared.chunks if chunk.source in (method.sources or [chunk.source]) for shape in chunk.shapes})
    if method.after is not None and any(fits(method, chunk) for chunk in prepared.chunks):
        return (
            f"training.methods: {name} continues {method.after}, but no chunk that suits {name} is one that {method.after} trains on; "
            f"drop `after`, or give {method.after} the same sources."
        )
    usable, found = _listed(sorted(USABLE[method.kind])), _listed(shapes) or "nothing to train on"
    owner = "its sources" if method.sources else "the sources"
    return (
        f"training.methods: {name} ({method.kind}) learns from records of the shape {usable}, but {owner} have {found}; "
        "add such a source or remove the method."
    )


def _methods_for(shapes: Iterable[str]) -> list[str]:
    return [kind for kind, usable in USABLE.items() if usable & set(shapes)]


def _weighted(spec: RunSpec) -> Iterator[tuple[str, Iterable[str]]]:
    for index, point in enumerate(spec.search.start or []):
        yield f"search.start[{index}].weights", point.weights
    for manual in spec.baselines.manual or []:
        yield f"baselines.manual.{manual.name}.weights", manual.weights


def instead(name: str, names: Sequence[str]) -> str:
    """Return the name that was meant, most likely, as the end of a sentence; nothing where none is near."""
    near = get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:12]) + ([f"{len(names) - 12} more"] if len(names) > 12 else [])
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else "".join(shown)
