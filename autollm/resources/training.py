"""How chunks become deltas: the adapter and the methods."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autollm.resources.model import Model, Rule, exactly_one
from autollm.resources.values import LearningRate, Name, PositiveDecimal, Share, Uri

Targets = Literal["AllLinear", "Attention"]
METHOD_KINDS = ("sft", "dpo", "pretrain")


class Lora(Model):
    """A low-rank adapter: Δ = scale · B·A, with scale alpha/rank, or alpha/√rank where rankStabilized."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[int, Field(ge=1, le=65536)] = 32
    dropout: Share = Field(Decimal(0))
    targets: Targets = "AllLinear"
    rank_stabilized: bool = False


class FullDifference(Model):
    """Every weight is trained; the delta is the difference to the base."""


class Adapter(Model):
    """What a training may change; absent means a LoRA with the defaults."""

    rules: ClassVar = (exactly_one("lora", "full"),)
    lora: Lora | None = None
    full: FullDifference | None = None


class Hyperparameters(Model):
    """What every method has in common."""

    learning_rate: LearningRate = Field(Decimal("2e-4"))
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    max_steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(None, description="Stops earlier than the epochs would.")
    batch_size: Annotated[int, Field(ge=1, le=65536)] = Field(
        16, description="Records a step; split into micro-batches that fit the memory."
    )
    warmup: Share = Field(Decimal("0.05"), description="The share of the steps in which the learning rate rises.")
    schedule: Literal["Cosine", "Linear", "Constant"] = "Cosine"
    weight_decay: Share = Field(Decimal(0))
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Sft(Hyperparameters):
    """Supervised fine-tuning on the completions of chats; of a preference, on the chosen answer."""


class Dpo(Hyperparameters):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) against the start model as reference."""

    learning_rate: LearningRate = Field(Decimal("2e-5"))
    beta: PositiveDecimal = Field(Decimal("0.1"))


class Pretrain(Hyperparameters):
    """Continued pretraining on whole texts, packed to `data.maxTokens` with an end-of-text token between documents."""


class Method(Model):
    """One way of training; it is tried on every chunk whose records it can use."""

    rules: ClassVar = (
        exactly_one(*METHOD_KINDS),
        Rule("!has(self.after) || self.after != self.name", "a method cannot start after itself", "after"),
    )
    name: Name
    sft: Sft | None = None
    dpo: Dpo | None = None
    pretrain: Pretrain | None = None
    after: Name | None = Field(
        None, description="Continue that method's delta of the same chunk; the delta is the total change from the base."
    )
    sources: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = Field(
        None, description="Only these sources; absent means all."
    )

    @property
    def kind(self) -> str:
        """The member of the union that is set."""
        return next(kind for kind in METHOD_KINDS if getattr(self, kind) is not None)

    @property
    def hyperparameters(self) -> Sft | Dpo | Pretrain:
        """The settings of the member that is set."""
        return getattr(self, self.kind)  # type: ignore[no-any-return]


class Training(Model):
    """Which deltas are trained."""

    rules: ClassVar = (
        Rule(
            "self.methods.all(m, !has(m.after) || self.methods.exists(other, other.name == m.after))",
            "after must name another method of this list",
            "methods",
        ),
    )
    adapter: Adapter | None = Field(None, description="Absent: a LoRA with the defaults.")
    methods: Annotated[
        list[Method],
        Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ]


class LoraDelta(Model):
    """A LoRA adapter as PEFT writes it: adapter_config.json beside adapter_model.safetensors."""

    uri: Uri


class TaskVector(Model):
    """The difference between a tuned model and the base it was tuned from."""

    tuned: Uri
    base: Uri | None = Field(None, description="Absent: the run's own model.")


class ReadyDelta(Model):
    """A delta that exists already and is searched together with the trained ones."""

    rules: ClassVar = (exactly_one("lora", "full"),)
    name: Name
    lora: LoraDelta | None = None
    full: TaskVector | None = None
