"""TRL's trainers over planned steps: a batch of the data loader is one whole optimiser step, cut into micro-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from numpy.random import SeedSequence
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from autollm.errors import InputError
from autollm_runtime.train.examples import Example
from autollm_runtime.train.head import use_learned_head
from autollm_runtime.train.peers import Alone, Peers
from autollm_runtime.train.schedule import MicroBatches, Step, share_of
from autollm_runtime.worker.ranks import SINGLE, Rank

use_learned_head()

Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]


def step_data(steps: Sequence[Step]) -> Dataset:
    """Return the data set that trainers iterate: the number of each step."""
    return Dataset.from_dict({"step": list(range(len(steps)))})


def step_collator(
    steps: Sequence[Step], examples: Sequence[Example], micro: MicroBatches, collate: Collator, rank: Rank = SINGLE
) -> Collator:
    """Return what turns the number of a step into this process's micro-batches, and the sum of what all learn in the step."""
    lengths = [example.length for example in examples]

    def collated(rows: list[dict[str, Any]]) -> dict[str, Any]:
        step = steps[rows[0]["step"]]
        share = share_of(step, lengths, rank.number, rank.size)
        batches = [collate([dict(examples[index].columns) for index in batch]) for batch in micro.cut(share, lengths)]
        return {"micro": batches, "learned": sum(examples[index].learned for index in step)}

    return collated


class _OfSteps:
    """What both trainers do differently from TRL's: see the module."""

    last_loss = 0.0
    stopping = False
    peers: Peers = Alone()
    asked_to_stop: Callable[[], bool] = staticmethod(lambda: False)

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: object = None) -> torch.Tensor:
        """Add up the gradients of a step's micro-batches; the loss is the mean over all that is learned in the step."""
        micro_step = super().training_step  # type: ignore[misc]  # of the mixed-in trainer
        step = self.state.global_step + 1  # type: ignore[attr-defined]  # of the mixed-in trainer
        args = self.args  # type: ignore[attr-defined]  # of the mixed-in trainer
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

        def mine() -> float:
            if self.peers.rank.size > 1:
                # Every process drops out other units, and the same ones when the step is taken again from a checkpoint.
                torch.manual_seed(int(SeedSequence([args.seed, step, self.peers.rank.number]).generate_state(1)[0]))
            losses = [micro_step(model, batch, inputs["learned"]) for batch in inputs["micro"]]
            self.peers.make_room(trained)
            return torch.stack(losses).sum().item() if losses else 0.0

        total = self.peers.together(mine, self.asked_to_stop)
        self.last_loss, self.stopping = total.value, total.stop
        if not math.isfinite(self.last_loss):
            raise InputError(
                f"the training diverged: its loss is {self.last_loss} at step {step}; lower learningRate ({args.learning_rate:g}), "
                "or lengthen warmup",
                reason="Diverged",
            )
        self.peers.add_gradients(trained)
        return torch.tensor(self.last_loss, device=args.device)

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
