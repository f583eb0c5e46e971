"""Where a run's data comes from, and how it becomes records, splits and chunks."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.model import Model, Rule, exactly_one, not_reserved
from autollm.resources.values import HeldOutShare, Name, Similarity, SourceUri

FileFormat = Literal["Auto", "Alpaca", "ShareGPT", "Messages", "PromptCompletion", "Preference", "KTO", "Text", "HHRLHF", "Dolly"]
Column = Annotated[str, Field(min_length=1, max_length=128)]


class ColumnMap(Model):
    """Which columns of a file hold which parts of a record, where their names are not the usual ones."""

    prompt: Column | None = Field(None, description="What is asked.")
    completion: Column | None = Field(None, description="The answer that is learned.")
    system: Column | None = Field(None, description="The system message before the prompt.")
    messages: Column | None = Field(None, description="A whole chat, as a list of roles and contents.")
    chosen: Column | None = Field(None, description="The better answer of a preference.")
    rejected: Column | None = Field(None, description="The worse answer of a preference.")
    text: Column | None = Field(None, description="Plain text for continued pretraining.")
    origin: Column | None = Field(None, description="What a record was derived from; records of one origin share a split.")


class FileSource(Model):
    """Records in JSONL, JSON, CSV or Parquet; a folder or an S3 prefix is read file by file in the order of names."""

    uri: SourceUri = Field(description="s3://bucket/key, file:///path, package://python_package/file, or a path relative to the document.")
    format: FileFormat = Field("Auto", description="How the records are laid out; Auto looks at the columns of the first rows.")
    map: ColumnMap | None = Field(None, description="Names the columns where the format's usual names do not fit.")


class Source(Model):
    """One origin of records."""

    rules: ClassVar = (exactly_one("file"), not_reserved("source"))
    name: Name = Field(description="Its deltas are called NAME/METHOD.")
    file: FileSource | None = Field(None, description="Records from a file, a folder or an S3 prefix.")
    use: Literal["Train", "Search", "Test"] = Field(
        "Train", description="Train is split for training, search and test; Search and Test give all their records to that split."
    )


class Split(Model):
    """The shares of a source's records that are held out, by a hash of each record's origin."""

    rules: ClassVar = (
        Rule(
            "double(self.search) + double(self.test) < 1.0",
            "search and test together must stay below 1, so that records are left to train on",
            "test",
        ),
    )
    search: HeldOutShare = Field(Decimal("0.1"), description="The share that steers the weights.")
    test: HeldOutShare = Field(Decimal("0.1"), description="The share that no search sees: what is reported and gates promotion.")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(0, description="Another seed, another split.")


class Chunking(Model):
    """How training records are cut into chunks, each of which trains its own deltas."""

    rules: ClassVar = (
        Rule("self.minRecords <= self.maxRecords", "minRecords must not be above maxRecords: lower it or raise maxRecords", "minRecords"),
    )
    by: Literal["Source", "Size"] = Field(
        "Source",
        description="Source keeps each source apart; Size cuts all sources pooled, in their order, into the chunks of a pool named `pool`.",
    )
    max_records: Annotated[int, Field(ge=1, le=10_000_000)] = Field(2000, description="A source with more is cut into several chunks.")
    min_records: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        1, description="Appended records wait until there are this many for a chunk of their own."
    )


class Deduplication(Model):
    """Near duplicates: the later of two records whose word 5-grams are at least this similar (Jaccard) is dropped."""

    near: Similarity | None = Field(
        None, description="The similarity from which two records count as one; absent: only exact duplicates go."
    )


class Data(Model):
    """How records are filtered, split and cut."""

    split: Split = Field(default_factory=Split, description="The shares held out for search and test.")
    chunk: Chunking = Field(default_factory=Chunking, description="How training records are cut into chunks.")
    max_tokens: Annotated[int, Field(ge=8, le=1_000_000)] = Field(2048, description="Longer records are dropped and counted.")
    deduplicate: Deduplication = Field(
        default_factory=Deduplication, description="Exact duplicates and leaks always go; near ones where asked for."
    )
