"""TRL's trainers over planned steps: a batch of the data loader is one whole optimiser step, cut into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from autollm.errors import InputError
from autollm_runtime.train.examples import Example
from autollm_runtime.train.head import use_learned_head
from autollm_runtime.train.schedule import MicroBatches, Step

use_learned_head()

Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]


def step_data(steps: Sequence[Step]) -> Dataset:
    """Return the data set that trainers iterate: the number of each step."""
    return Dataset.from_dict({"step": list(range(len(steps)))})


def step_collator(steps: Sequence[Step], examples: Sequence[Example], micro: MicroBatches, collate: Collator) -> Collator:
    """Return what turns the number of a step into its micro-batches, and the sum of what is learned in them."""
    lengths = [example.length for example in examples]

    def collated(rows: list[dict[str, Any]]) -> dict[str, Any]:
        step = steps[rows[0]["step"]]
        batches = [collate([dict(examples[index].columns) for index in batch]) for batch in micro.cut(step, lengths)]
        return {"micro": batches, "learned": sum(examples[index].learned for index in step)}

    return collated


class _OfSteps:
    """What both trainers do differently from TRL's: see the module."""

    last_loss = 0.0

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: object = None) -> torch.Tensor:
        """Add up the gradients of a step's micro-batches; the loss is the mean over all that is learned in the step."""
        micro_step = super().training_step  # type: ignore[misc]  # of the mixed-in trainer
        losses = [micro_step(model, batch, inputs["learned"]) for batch in inputs["micro"]]
        loss: torch.Tensor = torch.stack(losses).sum()
        self.last_loss = loss.item()
        if not torch.isfinite(loss):
            state = self.state  # type: ignore[attr-defined]  # of the mixed-in trainer
            raise InputError(
                f"the training diverged: its loss is {self.last_loss} at step {state.global_step + 1}; lower learningRate "
                f"({self.args.learning_rate:g}), or lengthen warmup",  # type: ignore[attr-defined]  # of the mixed-in trainer
                reason="Diverged",
            )
        return loss

    def floating_point_ops(self, inputs: object) -> int:
        """Count nothing: the estimate walks through all parameters at every step, and nobody reads it."""
        return 0

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write no card: a checkpoint is no model."""

    def _send_telemetry(self) -> None:
        """Tell nobody what is trained."""


class TokenTrainer(_OfSteps, SFTTrainer):
    """Next-token loss on the learned tokens, for SFT and pretraining."""


class PairTrainer(_OfSteps, DPOTrainer):
    """DPO's loss on pairs of answers."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None) -> Any:
        """Return this micro-batch's part of the mean over all pairs of the step; TRL's is a mean of its own."""
        pairs = len(inputs["input_ids"]) // 2
        return super().compute_loss(model, inputs) * (pairs / num_items_in_batch)  # type: ignore[no-untyped-call]  # TRL is untyped

    def _prepare_dataset(self, dataset: Dataset, *args: object) -> Dataset:
        """Leave the steps as they are: their records are encoded already."""
        return dataset
