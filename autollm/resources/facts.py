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


class PublishedRevision(Model):
    """A published model."""

    revision: Annotated[str, Field(max_length=10)] = Field(description="Its name, such as r7.")
    uri: Uri = Field(description="Where it is loaded from.")
    digest: Digest = Field(description="The digest of its manifest.")
    base: Digest = Field(description="The digest of the model it was merged from.")
    weights: Weights = Field(description="The weights of the deltas in it.")
    deltas: Annotated[dict[DeltaName, Digest], Field(max_length=1024)] = Field(description="The key of every delta in it.")
    as_of: Digest | None = Field(
        None,
        description="The key of the preparation before it was reported; later preparations have looked at `latest` themselves.",
    )


class Prepared(Model):
    """What prepare found and made; `key` is the digest of everything that was asked of it."""

    key: Digest = Field(description="The digest of everything that was asked for.")
    model: ModelFact = Field(description="The base model.")
    manifest: Digest = Field(description="The digest of the data's manifest.")
    records: Count = Field(description="Records that are used.")
    dropped: Annotated[dict[Text, Count], Field(max_length=64)] = Field(description="Records that are not, by reason.")
    waiting: Count = Field(0, description="Appended records that are too few for a chunk of their own.")
    chunks: Annotated[list[ChunkFact], Field(max_length=2000)] = Field(description="What deltas are trained on.")
    search: ItemsFact = Field(description="The items that steer the weights.")
    test: ItemsFact = Field(description="The items that no search sees.")
    imported: Annotated[list[ImportedDelta], Field(max_length=64)] = Field(description="Ready-made deltas.")
    existing: Annotated[list[DeltaFact], Field(max_length=4000)] = Field(
        description="Deltas this run needs that are in the artifacts already."
    )
    published: PublishedRevision | None = Field(None, description="What `latest` points to.")


class Progress(Model):
    """How far a training is."""

    step: Count = Field(description="Steps that are done.")
    steps: Count = Field(description="Steps in all.")
    loss: Score | None = Field(None, description="The latest training loss.")
    tokens_per_second: Count | None = Field(None, description="The rate.")


class TrainedDelta(DeltaFact):
    """The delta a training made or found."""

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
