"""How chunks become deltas: the adapter and the methods."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.model import Model, Rule, exactly_one, not_reserved
from autollm.resources.values import LearningRate, Name, PositiveDecimal, Share, Uri

Targets = Literal["AllLinear", "Attention"]
METHOD_KINDS = ("sft", "dpo", "pretrain")


class Lora(Model):
    """A low-rank adapter: Δ = scale · B·A, with scale alpha/rank, or alpha/√rank where rankStabilized."""

    rank: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="The rank of B·A: what the adapter can express.")
    alpha: Annotated[int, Field(ge=1, le=65536)] = Field(32, description="The numerator of the scale.")
    dropout: Share = Field(Decimal(0), description="The share of inputs to A that is dropped while training.")
    targets: Targets = Field("AllLinear", description="Which layers get an adapter: every linear one, or those of the attention alone.")
    rank_stabilized: bool = Field(False, description="true: the scale is alpha/√rank (rsLoRA, arXiv:2312.03732).")


class FullDifference(Model):
    """Every weight is trained; the delta is the difference to the base."""


class Adapter(Model):
    """What a training may change; absent means a LoRA with the defaults."""

    rules: ClassVar = (exactly_one("lora", "full"),)
    lora: Lora | None = Field(None, description="A low-rank adapter.")
    full: FullDifference | None = Field(None, description="Every weight, written {}; needs the memory of full fine-tuning.")


class Hyperparameters(Model):
    """What every method has in common."""

    learning_rate: LearningRate = Field(Decimal("2e-4"), description="The highest learning rate, after the warm-up.")
    epochs: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="How often each record is seen.")
    max_steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(None, description="Stops earlier than the epochs would.")
    batch_size: Annotated[int, Field(ge=1, le=65536)] = Field(
        16, description="Records a step; split into micro-batches that fit the memory."
    )
    warmup: Share = Field(Decimal("0.05"), description="The share of the steps in which the learning rate rises.")
    schedule: Literal["Cosine", "Linear", "Constant"] = Field("Cosine", description="How the learning rate falls after the warm-up.")
    weight_decay: Share = Field(Decimal(0), description="AdamW's weight decay.")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(0, description="Orders the records and initialises the adapter.")


class Sft(Hyperparameters):
    """Supervised fine-tuning on the completions of chats; of a preference, on the chosen answer."""


class Dpo(Hyperparameters):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) against the start model as reference."""

    learning_rate: LearningRate = Field(Decimal("2e-5"), description="The highest learning rate, after the warm-up.")
    beta: PositiveDecimal = Field(Decimal("0.1"), description="How strongly the model is held to its reference.")


class Pretrain(Hyperparameters):
    """Continued pretraining on whole texts, packed to `data.maxTokens` with an end-of-text token between documents."""


class Method(Model):
    """One way of training; it is tried on every chunk whose records it can use."""

    rules: ClassVar = (
        exactly_one(*METHOD_KINDS),
        Rule(
            "!has(self.after) || self.after != self.name", "a method cannot start after itself: name another, or leave after out", "after"
        ),
    )
    name: Name = Field(description="Its deltas are called SOURCE/NAME.")
    sft: Sft | None = Field(None, description="Supervised fine-tuning; with the defaults it is written {}.")
    dpo: Dpo | None = Field(None, description="Direct preference optimisation; with the defaults it is written {}.")
    pretrain: Pretrain | None = Field(None, description="Continued pretraining on texts; with the defaults it is written {}.")
    after: Name | None = Field(
        None, description="Continue that method's delta of the same chunk; the delta is the total change from the base."
    )
    sources: Annotated[list[Name], Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] | None = Field(
        None, description="Only these sources; absent means all."
    )

    @property
    def kind(self) -> str:
        """The member of the union that is set."""
        return next(kind for kind in METHOD_KINDS if getattr(self, kind) is not None)

    @property
    def hyperparameters(self) -> Sft | Dpo | Pretrain:
        """The settings of the member that is set."""
        return getattr(self, self.kind)  # type: ignore[no-any-return]  # the name is looked up at run time


class Training(Model):
    """Which deltas are trained."""

    rules: ClassVar = (
        Rule(
            "self.methods.all(m, !has(m.after) || self.methods.exists(other, other.name == m.after))",
            "after must name another method of this list: add that method or correct the name",
            "methods",
        ),
        Rule(
            "self.methods.all(m, !has(m.after) || self.methods.all(b, b.name != m.after || !has(b.after) || "
            "self.methods.all(c, c.name != b.after || !has(c.after))))",
            "methods chained by after must end at one without after, and a chain has three methods at most: break the circle or shorten it",
            "methods",
        ),
    )
    adapter: Adapter | None = Field(None, description="Absent: a LoRA with the defaults.")
    methods: Annotated[
        list[Method],
        Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = Field(description="Every method is tried on every chunk that it fits; train-on-all uses the first.")


class LoraDelta(Model):
    """A LoRA adapter as PEFT writes it: adapter_config.json beside adapter_model.safetensors."""

    uri: Uri = Field(
        description="The folder of the adapter: s3://bucket/prefix, file:///folder, hf://org/name[@revision] or a relative path."
    )


class TaskVector(Model):
    """The difference between a tuned model and the base it was tuned from."""

    tuned: Uri = Field(description="The model after tuning.")
    base: Uri | None = Field(None, description="Absent: the run's own model.")


class ReadyDelta(Model):
    """A delta that exists already and is searched together with the trained ones."""

    rules: ClassVar = (exactly_one("lora", "full"), not_reserved("delta"))
    name: Name = Field(description="What the delta is called in weights, patterns and tables.")
    lora: LoraDelta | None = Field(None, description="A LoRA adapter.")
    full: TaskVector | None = Field(None, description="The difference of two models.")
