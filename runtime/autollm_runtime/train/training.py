"""One attempt at a training: from the last checkpoint, or the start, to a published delta."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from autollm.contract.tasks import TrainTask
from autollm.errors import Interrupted
from autollm.resources.facts import DeltaFact
from autollm.store import Store
from autollm_runtime.train.checkpoints import Checkpoint, CheckpointPolicy, Checkpoints, Trained
from autollm_runtime.train.examples import Example
from autollm_runtime.train.learner import make_learner
from autollm_runtime.train.outcome import publish_trained
from autollm_runtime.train.peers import Alone, Peers, first_on_node
from autollm_runtime.train.pickles import fault_of_pickles
from autollm_runtime.train.schedule import MicroBatches, Step
from autollm_runtime.train.settings import trainer_settings
from autollm_runtime.train.trainers import PairTrainer, TokenTrainer, step_collator, step_data
from autollm_runtime.train.watch import Watch
from autollm_runtime.worker.context import Context

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What every attempt at one training has in common."""

    task: TrainTask
    context: Context
    store: Store
    base: Path
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    examples: Sequence[Example]
    steps: Sequence[Step]
    checkpoints: Checkpoints
    policy: CheckpointPolicy
    peers: Peers = field(default_factory=Alone)

    def run(self, micro: MicroBatches) -> DeltaFact:
        """Train to the end and publish; raises Interrupted after saving, and the allocator's own error where memory is short."""
        spec = self.task.spec
        folder, before = self._resumed()
        trainer = self.trainer(micro)
        tokens = [sum(self.examples[index].tokens for index in step) for step in self.steps]
        watch = Watch(trainer, self.context, self.task.training, tokens, self.checkpoints, self.policy, before)
        trainer.add_callback(watch)
        self.context.check_stop()
        trainer.train(resume_from_checkpoint=str(folder) if folder is not None else None)
        # Nobody leaves before the leader has saved: with the first process that ends, torchrun ends the others.
        self.peers.together(lambda: 0.0)
        if watch.stopped:
            raise Interrupted(f"the training was asked to stop; {watch.trained.step} of {len(self.steps)} steps are saved")
        model = trainer.accelerator.unwrap_model(trainer.model)
        return self.peers.from_leader(lambda: publish_trained(spec, model, watch.trained, self.base, self.store, self.context.scratch))

    def _resumed(self, tried: str = "") -> tuple[Path | None, Trained]:
        """Return the folder of the newest checkpoint and what had been done then; every process goes on from the same, or none does."""
        newest = self.peers.from_leader(self.checkpoints.newest)
        if newest is None or newest.prefix == tried:
            return None, Trained()
        folder = first_on_node(self.peers, lambda: self._fetched(newest))
        if self.peers.together(lambda: float(folder is not None)).value == self.peers.rank.size:
            return folder, newest.trained
        # A pod that was asked to stop, and takes its time, may have replaced it meanwhile by its last one.
        return self._resumed(newest.prefix)

    def _fetched(self, checkpoint: Checkpoint) -> Path | None:
        """Return the folder with a checkpoint; None where it is damaged, or could run code."""
        folder = self.checkpoints.fetch(checkpoint)
        if folder is not None and (fault := fault_of_pickles(folder)):
            _log.warning("the checkpoint is not used: %s", fault)
            return None
        return folder

    def trainer(self, micro: MicroBatches) -> TokenTrainer | PairTrainer:
        """Return a trainer over the planned steps, its model at the start."""
        spec = self.task.spec
        method = spec.method.hyperparameters
        set_seed(method.seed)
        longest = max(example.longest for example in self.examples)
        learner = make_learner(spec, self.base, self.store, self.device, self.context.scratch, longest=longest)
        settings = trainer_settings(
            method,
            steps=len(self.steps),
            dtype=spec.model.dtype,
            device=self.device,
            recompute=micro.recompute,
            folder=self.context.scratch / "trainer",
        )
        pairs = spec.method.kind == "dpo"
        padding: Any = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        collate: Any = DataCollatorForPreference(padding) if pairs else DataCollatorForLanguageModeling(padding)
        common: dict[str, Any] = {
            "model": learner.model,
            "args": settings,
            "data_collator": step_collator(self.steps, self.examples, micro, collate, self.peers.rank),
            "train_dataset": step_data(self.steps),
            "processing_class": self.tokenizer,
            "peft_config": learner.adapter,
        }
        trainer = PairTrainer(ref_model=learner.reference, **common) if pairs else TokenTrainer(**common)
        trainer.remove_callback(PrinterCallback)
        trainer.peers, trainer.asked_to_stop = self.peers, self.context.stop.is_set
        model: Any = trainer.model
        self.peers.share(parameter for parameter in model.parameters() if parameter.requires_grad)
        return trainer
