"""What workers report: the bounded facts from which the planner decides. Each is one status field that the runtime owns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from autollm.resources import compact
from autollm.resources.evaluation import Weights
from autollm.resources.model import Model
from autollm.resources.values import DeltaName, Digest, Name, Score, Uri

Shape = Literal["messages", "preference", "text"]
Text = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0)]
TaskId = Annotated[str, Field(min_length=1, max_length=63)]


class ModelFact(Model):
    """The base model that was really used."""

    uri: Uri = Field(
        description="Where workers load it from: the user's own location, or a copy in the artifacts where that was converted."
    )
    digest: Digest = Field(description="The digest of its files.")
    dtype: Literal["BFloat16", "Float16", "Float32"] = Field(description="The number format that is trained and scored in.")
    revision: Text | None = Field(None, description="The Hub's commit.")
    parameters: Count = Field(description="Numbers in it.")


class ChunkFact(Model):
    """One chunk: its name, the digest of its file, and how many records of which shape it has."""

    name: Annotated[str, Field(max_length=48)] = Field(description="SOURCE, or SOURCE-0003 where the source has several.")
    source: Name = Field(description="The source it is cut from; `pool` where all are.")
    digest: Digest = Field(description="The digest of its file.")
    records: Count = Field(description="Records in it.")
    shapes: Annotated[dict[Shape, Count], Field(max_length=3)] = Field(description="How many of them are messages, preferences and texts.")


def _from_lines(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return list(compact.read_chunks(value))
    return value


def _as_lines(chunks: list[ChunkFact]) -> list[str]:
    return compact.write_chunks(chunk.model_dump() for chunk in chunks)


ChunkLines = Annotated[
    list[ChunkFact],
    BeforeValidator(_from_lines),
    PlainSerializer(_as_lines, return_type=list[str]),
    WithJsonSchema({"type": "array", "maxItems": 2000, "items": {"type": "string", "pattern": compact.CHUNK, "maxLength": 160}}),
]
"""Chunks, each written as a line."""


class ItemsFact(Model):
    """The items of a held-out split."""

    digest: Digest = Field(description="The digest of its file.")
    count: Count = Field(description="Items in it.")


class DeltaFact(Model):
    """A delta that is in the artifacts: its key and the digest of its manifest."""

    key: Digest = Field(description="The digest of everything that determines it.")
    digest: Digest = Field(description="The digest of its manifest.")


class ImportedDelta(DeltaFact):
    """A ready-made delta, checked against the base and copied into the artifacts."""

    name: Name = Field(description="What the run calls it.")


class Existing(Model):
    """Which of the deltas that a run needs are in the artifacts: a bit for each, in the order in which they are planned."""

    of: Annotated[str, Field(max_length=64)] = Field(description="The digest of the keys of all of them; of others it says nothing.")
    bits: Annotated[str, Field(max_length=512)] = Field(description="The bits in base64, the first being the lowest of the first byte.")

    @classmethod
    def among(cls, planned: Sequence[str], found: Collection[str]) -> Self:
        """Return which of these keys were found."""
        return cls(of=_digest_of(planned), bits=compact.pack_bits(key in found for key in planned))

    def keys(self, planned: Sequence[str]) -> frozenset[str]:
        """Return those that were found among the keys that are planned; none where others were planned when they were looked for."""
        return frozenset(compact.chosen(self.bits, planned)) if self.of == _digest_of(planned) else frozenset()


def _digest_of(keys: Sequence[str]) -> str:
    return sha256("\n".join(keys).encode()).hexdigest()


MOST_NAMED = 64
"""Deltas of a revision whose names and keys a status has room for."""


class PublishedRevision(Model):
    """A published model."""

    revision: Annotated[str, Field(max_length=10)] = Field(description="Its name, such as r7.")
    uri: Uri = Field(description="Where it is loaded from.")
    digest: Digest = Field(description="The digest of its manifest.")
    base: Digest = Field(description="The digest of the model it was merged from.")
    weights: Weights = Field(description="The weights of the deltas in it; of more than 64, `packed` has them.")
    deltas: Annotated[dict[DeltaName, Digest], Field(max_length=2048)] = Field(description="The key of every delta in it, as far as named.")
    packed: Annotated[str, Field(max_length=40_000)] | None = Field(
        None, description="Of many deltas, eight bytes of each key and its weight in four, in base64."
    )
    trial: Annotated[str, Field(max_length=63)] | None = Field(None, description="The trial that tested it, of the run that published it.")
    as_of: Digest | None = Field(
        None,
        description="The key of the preparation before it was reported; later preparations have looked at `latest` themselves.",
    )
    task: TaskId | None = Field(None, description="The task that reported it; absent where it was found.")

    @property
    def merged(self) -> Mapping[str, Decimal]:
        """The weights that are not 0, by the short key of the delta."""
        if self.packed is not None:
            return compact.unpack_weights(self.packed)
        return compact.by_short_key(self.weights, self.deltas)

    def fit_for_status(self) -> PublishedRevision:
        """Return it without the names where there are too many deltas for a status to hold."""
        if len(self.weights) <= MOST_NAMED:
            return self
        return self.model_copy(update={"packed": compact.pack_weights(self.merged), "weights": {}, "deltas": {}})


class Prepared(Model):
    """What prepare found and made; `key` is the digest of everything that was asked of it."""

    key: Digest = Field(description="The digest of everything that was asked for.")
    model: ModelFact = Field(description="The base model.")
    manifest: Digest = Field(description="The digest of the data's manifest.")
    records: Count = Field(description="Records that are used.")
    dropped: Annotated[dict[Text, Count], Field(max_length=64)] = Field(description="Records that are not, by reason.")
    waiting: Count = Field(0, description="Appended records that are too few for a chunk of their own.")
    chunks: ChunkLines = Field(
        description="What deltas are trained on: of each its source (where it is not that of the one before), its number, its records that "
        "are messages, preferences and texts, its digest in base64."
    )
    search: ItemsFact = Field(description="The items that steer the weights.")
    test: ItemsFact = Field(description="The items that no search sees.")
    imported: Annotated[list[ImportedDelta], Field(max_length=64)] = Field(description="Ready-made deltas.")
    existing: Existing | None = Field(None, description="Deltas this run needs that are in the artifacts already; absent: none.")
    published: PublishedRevision | None = Field(None, description="What `latest` points to.")
    task: TaskId | None = Field(None, description="The task that reported it.")


class Progress(Model):
    """How far a training is."""

    step: Count = Field(description="Steps that are done.")
    steps: Count = Field(description="Steps in all.")
    loss: Score | None = Field(None, description="The latest training loss.")
    tokens_per_second: Count | None = Field(None, description="The rate.")


class TrainedDelta(Model):
    """The delta a training made or found."""

    key: Digest = Field(description="The digest of everything that determines it.")
    digest: Digest | None = Field(None, description="The digest of its manifest; absent where the delta was found and not made.")
    uri: Uri = Field(description="Where it is.")
    loss: Score | None = Field(None, description="The last training loss.")
    seconds: Score | None = Field(None, description="How long the training took.")
    tokens: Count | None = Field(None, description="Tokens that were trained on.")


class MetricScore(Model):
    """The score of one metric, or of the objective on one source."""

    name: Name = Field(description="The metric, or the source.")
    score: Score = Field(description="Between 0 and 1; higher is better.")
    standard_error: Score = Field(description="The score's standard error.")
    items: Count = Field(description="Items it was scored on.")
    stop_rate: Score | None = Field(None, description="The share of generated answers that ended before the token cap.")


class Difference(Model):
    """The score of this trial minus that of another, item by item, with a paired 95 % interval."""

    trial: Annotated[str, Field(max_length=63)] = Field(description="The other trial.")
    metric: Name | None = Field(None, description="Absent: the objective.")
    difference: Score = Field(description="The mean of the differences, item by item.")
    low: Score = Field(description="The interval's lower end.")
    high: Score = Field(description="The interval's upper end.")
    gate_low: Score = Field(description="The one-sided lower bound at the confidence that publish.when asks for.")


class Seconds(Model):
    """Where a trial's time went."""

    merge: Score = Field(description="Writing the merged weights.")
    evaluate: Score = Field(description="Scoring the items.")


class TrialResult(Model):
    """The outcome of a trial; either a score, or the failure in its stead."""

    score: Score
    standard_error: Score
    items: Count
    metrics: Annotated[list[MetricScore], Field(max_length=32)]
    sources: Annotated[list[MetricScore], Field(max_length=64)]
    seconds: Seconds
    results: Uri = Field(description="The per-item results in the artifacts.")
    differences: Annotated[list[Difference], Field(max_length=512)] | None = None
