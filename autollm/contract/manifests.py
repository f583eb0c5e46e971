"""What lies in the artifacts beside the bytes: manifests with digests, written last, and the shape of canonical records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from autollm.resources.evaluation import Weights
from autollm.resources.facts import ChunkFact, ItemsFact, ModelFact
from autollm.resources.model import Model
from autollm.resources.run_status import ResultRow
from autollm.resources.sources import Chunking
from autollm.resources.training import Adapter, Method
from autollm.resources.values import DeltaName, Digest


def _inside(name: str) -> str:
    """Refuse a name that would be a file elsewhere: a manifest lies in a bucket, and others than we may write there."""
    if name.startswith("/") or "\\" in name or "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ValueError("it leads out of its folder")
    return name


class StoredFile(Model):
    """One file below a manifest's prefix."""

    name: Annotated[str, AfterValidator(_inside)]
    digest: Digest
    size: int


class Message(Model):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Record(Model):
    """A canonical record: exactly one of messages, preference (prompt, chosen, rejected) or text is set.

    `id` is the digest of the content, `origin` what decides its split, `source` where it came from.
    """

    id: str
    source: str
    origin: str
    messages: list[Message] | None = None
    prompt: list[Message] | None = None
    chosen: str | None = None
    rejected: str | None = None
    text: str | None = None

    @property
    def shape(self) -> Literal["messages", "preference", "text"]:
        """Which of the three forms the record has."""
        if self.text is not None:
            return "text"
        return "messages" if self.messages is not None else "preference"


class CurvePoint(Model):
    """One point of a training curve."""

    step: int
    loss: float


class DeltaManifest(Model):
    """A delta: what it belongs to, how it was made, and its files below `prefix`."""

    key: Digest
    form: Literal["Lora", "Full"] = Field(
        description="Lora: PEFT's adapter_model.safetensors and adapter_config.json, linear in B·A. "
        "Full: delta.safetensors, fp32 differences by parameter name."
    )
    base: Digest
    dtype: str
    prefix: str
    files: list[StoredFile]
    chunks: list[Digest] = []
    method: Method | None = None
    adapter: Adapter | None = None
    start: Digest | None = None
    origin: str = Field("trained", description="trained, or the URI a ready-made delta was imported from.")
    versions: dict[str, str] = {}
    curve: list[CurvePoint] = []
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


class SourceCounts(Model):
    """What became of the records of one source."""

    name: str
    read: int
    kept: dict[Literal["Train", "Search", "Test"], int]
    dropped: dict[str, int]
    waiting: int = 0


class DataManifest(Model):
    """Prepared data: the chunks, the items, and a counted reason for every record that was dropped."""

    run: str
    key: Digest
    sources: list[SourceCounts]
    chunks: list[ChunkFact]
    search: ItemsFact
    test: ItemsFact
    inputs: dict[str, Digest] = Field({}, description="The digest of every file that was read, by URI.")
    chunking: Chunking | None = Field(None, description="How the chunks were cut: asked otherwise, the next cut starts anew.")


class RevisionManifest(Model):
    """A published model with its full lineage."""

    revision: str
    run: str
    trial: str
    model: ModelFact | dict[str, Any]
    weights: Weights
    deltas: dict[DeltaName, Digest]
    lineage: list[DeltaManifest]
    data: Digest
    results: list[ResultRow]
    files: list[StoredFile]
    dtype: str
    versions: dict[str, str]
    created: str
    spec: dict[str, Any]


class Pointer(Model):
    """What `latest.json` holds."""

    revision: Annotated[str, Field(max_length=10)]
    digest: Digest = Field(description="The digest of the revision's manifest.")
    previous: str | None = None


class ItemResult(Model):
    """One line of a trial's per-item results: the item's score and the value of each metric that fits it."""

    id: str
    source: str
    score: float | None = Field(None, description="Absent where every metric that fits the item has weight 0, to constrain alone.")
    values: dict[str, float]
    answer: str | None = Field(None, description="The generated answer, where a metric generated one.")
    stopped: bool | None = None
