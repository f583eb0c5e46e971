"""What prepare would find, made up from a survey of the sources: enough for the planner to say what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autollm.contract.digests import digest_document
from autollm.errors import DocumentError
from autollm.forecast.survey import Survey
from autollm.resources.facts import ChunkFact, Existing, ImportedDelta, ItemsFact, ModelFact, Prepared, Shape
from autollm.resources.run import RunSpec

SHAPES: tuple[Shape, ...] = ("messages", "preference", "text")
POOL = "pool"
MOST_CHUNKS = 2000
"""As many chunks as a run's status has room for."""


def expected_facts(spec: RunSpec, surveys: Mapping[str, Survey], parameters: int) -> Prepared:
    """Return the facts that a preparation would report if no record were dropped; a source that is not known has one chunk.

    A chunk of unknown shape has records of every shape: every method fits it. Raises DocumentError for more chunks than a run may have.
    """
    chunks = list(_by_size(spec, surveys) if spec.data.chunk.by == "Size" else _by_source(spec, surveys))
    if len(chunks) > MOST_CHUNKS:
        raise DocumentError(f"there would be {len(chunks)} chunks, and a run may have {MOST_CHUNKS}: raise data.chunk.maxRecords")
    return Prepared(
        key=_digest("key"),
        model=ModelFact(uri=spec.model.uri, digest=_digest("model"), dtype=spec.model.dtype or "BFloat16", parameters=parameters),
        manifest=_digest("manifest"),
        records=sum(survey.records or 0 for survey in surveys.values()),
        dropped={},
        chunks=chunks,
        search=ItemsFact(digest=_digest("search"), count=max(2, items(spec, surveys, "Search"))),
        test=ItemsFact(digest=_digest("test"), count=max(2, items(spec, surveys, "Test"))),
        imported=[ImportedDelta(name=one.name, key=_digest(one.name), digest=_digest(one.name)) for one in spec.deltas or []],
        existing=Existing.among([], []),
    )


def items(spec: RunSpec, surveys: Mapping[str, Survey], split: str) -> int:
    """Return how many records of the known sources a split gets."""
    return sum(round((surveys[source.name].records or 0) * _share(spec, source.use, split)) for source in spec.sources)


def _share(spec: RunSpec, use: str, split: str) -> float:
    if use != "Train":
        return float(use == split)
    search, test = float(spec.data.split.search), float(spec.data.split.test)
    return {"Search": search, "Test": test}.get(split, 1 - search - test)


def _by_source(spec: RunSpec, surveys: Mapping[str, Survey]) -> Iterator[ChunkFact]:
    for source in spec.sources:
        if source.use == "Train":
            survey = surveys[source.name]
            yield from _chunks(spec, source.name, round((survey.records or 0) * _share(spec, "Train", "Train")), {survey.shape})


def _by_size(spec: RunSpec, surveys: Mapping[str, Survey]) -> Iterator[ChunkFact]:
    trained = [surveys[source.name] for source in spec.sources if source.use == "Train"]
    records = sum(round((survey.records or 0) * _share(spec, "Train", "Train")) for survey in trained)
    return _chunks(spec, POOL, records, {survey.shape for survey in trained})


def _chunks(spec: RunSpec, pool: str, records: int, shapes: set[Shape | None]) -> Iterator[ChunkFact]:
    """Divide records into as few chunks as maxRecords allows, of equal size, as prepare does."""
    count = max(1, -(-records // spec.data.chunk.max_records))
    held = SHAPES if None in shapes else tuple(shape for shape in SHAPES if shape in shapes)
    for number in range(count):
        name = pool if count == 1 else f"{pool}-{number + 1:04d}"
        size = records // count + (number < records % count)
        yield ChunkFact(name=name, source=pool, digest=_digest(name), records=size, shapes=dict.fromkeys(held, max(1, size)))


def _digest(name: str) -> str:
    return digest_document({"forecast": name})
