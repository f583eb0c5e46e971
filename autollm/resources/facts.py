"""What workers report: the bounded facts from which the planner decides. Each is one status field that the runtime owns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autollm.resources.evaluation import Weights
from autollm.resources.model import Model
from autollm.resources.values import DeltaName, Digest, Name, Score, Uri

Shape = Literal["messages", "preference", "text"]
Text = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0)]


class ModelFact(Model):
    """The base model that was really used."""

    uri: Uri = Field(
        description="Where workers load it from: the user's own location, or a copy in the artifacts where that was converted."
    )
    digest: Digest
    dtype: Literal["BFloat16", "Float16", "Float32"]
    revision: Text | None = None
    parameters: Count


class ChunkFact(Model):
    """One chunk: its name, the digest of its file, and how many records of which shape it has."""

    name: Annotated[str, Field(max_length=48)] = Field(description="SOURCE, or SOURCE-0003 where the source has several.")
    source: Name
    digest: Digest
    records: Count
    shapes: Annotated[dict[Shape, Count], Field(max_length=3)]


class ItemsFact(Model):
    """The items of a held-out split."""

    digest: Digest
    count: Count


class DeltaFact(Model):
    """A delta that is in the artifacts: its key and the digest of its manifest."""

    key: Digest
    digest: Digest


class ImportedDelta(DeltaFact):
    """A ready-made delta, checked against the base and copied into the artifacts."""

    name: Name


class PublishedRevision(Model):
    """A published model."""

    revision: Annotated[str, Field(max_length=10)]
    uri: Uri
    digest: Digest
    base: Digest = Field(description="The digest of the model it was merged from.")
    weights: Weights
    deltas: Annotated[dict[DeltaName, Digest], Field(max_length=1024)] = Field(description="The key of every delta in it.")
    as_of: Digest | None = Field(
        None,
        description="The key of the preparation before it was reported; later preparations have looked at `latest` themselves.",
    )


class Prepared(Model):
    """What prepare found and made; `key` is the digest of everything that was asked of it."""

    key: Digest
    model: ModelFact
    manifest: Digest
    records: Count
    dropped: Annotated[dict[Text, Count], Field(max_length=64)]
    waiting: Count = Field(0, description="Appended records that are too few for a chunk of their own.")
    chunks: Annotated[list[ChunkFact], Field(max_length=2000)]
    search: ItemsFact
    test: ItemsFact
    imported: Annotated[list[ImportedDelta], Field(max_length=64)]
    existing: Annotated[list[DeltaFact], Field(max_length=4000)] = Field(
        description="Deltas this run needs that are in the artifacts already."
    )
    published: PublishedRevision | None = Field(None, description="What `latest` points to.")


class Progress(Model):
    """How far a training is."""

    step: Count
    steps: Count
    loss: Score | None = None
    tokens_per_second: Count | None = None


class TrainedDelta(DeltaFact):
    """The delta a training made or found."""

    uri: Uri
    loss: Score | None = None
    seconds: Score | None = None
    tokens: Count | None = None


class MetricScore(Model):
    """The score of one metric, or of the objective on one source."""

    name: Name
    score: Score
    standard_error: Score
    items: Count
    stop_rate: Score | None = Field(None, description="The share of generated answers that ended before the token cap.")


class Difference(Model):
    """The score of this trial minus that of another, item by item, with a paired 95 % interval."""

    trial: Annotated[str, Field(max_length=63)]
    metric: Name | None = Field(None, description="Absent: the objective.")
    difference: Score
    low: Score
    high: Score
    gate_low: Score = Field(description="The one-sided lower bound at the confidence that publish.when asks for.")


class Seconds(Model):
    """Where a trial's time went."""

    merge: Score
    evaluate: Score


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
