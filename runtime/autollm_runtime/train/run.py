"""The train task: one delta, unless it is in the artifacts already."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from autollm.contract.tasks import TrainTask
from autollm.errors import OutOfMemoryError
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import DeltaFact
from autollm.store import Store, open_store
from autollm_runtime.delta.artifacts import find_delta
from autollm_runtime.model.dtypes import choose_device
from autollm_runtime.model.fetch import fetch_model
from autollm_runtime.model.loading import load_tokenizer, quiet_libraries
from autollm_runtime.text.encoding import Encoder
from autollm_runtime.train.checkpoints import CheckpointPolicy, Checkpoints
from autollm_runtime.train.examples import Example, read_examples, units
from autollm_runtime.train.memory import release_memory
from autollm_runtime.train.outcome import describe_trained
from autollm_runtime.train.peers import Peers, first_on_node, join_peers
from autollm_runtime.train.schedule import MicroBatches, plan_steps, share_of
from autollm_runtime.train.training import Training
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.ending import is_out_of_memory

_log = logging.getLogger(__name__)

_FIRST_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Padded tokens in a first micro-batch: enough to keep the processor busy; halved where they do not fit."""


@dataclass(frozen=True)
class Limits:
    """How a training uses the machine, without bearing on its result."""

    policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    micro: MicroBatches | None = None


def run_train(task: TrainTask, context: Context) -> None:
    """Train one delta, publish it and report it; one that exists is reported at once. See `train_delta`."""
    train_delta(task, context, Limits())


def train_delta(task: TrainTask, context: Context, limits: Limits) -> None:
    """Train one delta, publish it and report it; one that exists is reported at once.

    A training that is interrupted goes on from its last checkpoint when the task is run again, and ends with the same delta.
    Raises Interrupted when asked to stop (after saving), OutOfMemoryError when a single record does not fit even with
    activations computed twice, and InputError for a chunk without fitting records, a start that does not fit, or a loss that is
    not finite.
    """
    device = choose_device()
    peers = join_peers(context.rank, device)
    try:
        _train(task, context, limits, device, peers)
    except Exception as error:
        peers.tell(error)
        raise


def _train(task: TrainTask, context: Context, limits: Limits, device: torch.device, peers: Peers) -> None:
    spec = task.spec
    store = open_store(spec.artifacts.uri, endpoint=spec.artifacts.endpoint, region=spec.artifacts.region)
    fact = peers.from_leader(lambda: find_delta(store, spec.key))
    checkpoints = Checkpoints(store, spec.key, context.scratch)
    if fact is None:
        context.check_stop()
        quiet_libraries()
        base, tokenizer, examples = first_on_node(peers, lambda: _inputs(spec, store, context.scratch))
        method = spec.method.hyperparameters
        steps = plan_steps(
            units(examples, spec.method, spec.max_tokens),
            batch_size=method.batch_size,
            epochs=method.epochs,
            max_steps=method.max_steps,
            seed=method.seed,
        )
        training = Training(task, context, store, base, tokenizer, device, examples, steps, checkpoints, limits.policy, peers)
        fact = _within_memory(training, limits.micro or MicroBatches(_FIRST_TOKENS[device.type]), spec)
    if peers.rank.leads:
        checkpoints.remove()
        context.reports.trained(task.training, describe_trained(store, fact))
    peers.together(lambda: 0.0)


def _inputs(spec: DeltaTrainingSpec, store: Store, scratch: Path) -> tuple[Path, PreTrainedTokenizerBase, list[Example]]:
    base = fetch_model(spec.model, store, scratch)
    tokenizer = load_tokenizer(base)
    return base, tokenizer, read_examples(spec.chunk, spec.method, Encoder(tokenizer, spec.max_tokens), store, scratch)


def _within_memory(training: Training, micro: MicroBatches, spec: DeltaTrainingSpec) -> DeltaFact:
    """Train with ever smaller micro-batches until one fits; each attempt goes on from the last checkpoint."""
    lengths = [example.length for example in training.examples]
    size = training.peers.rank.size
    shares = [share_of(step, lengths, number, size) for step in training.steps for number in range(size)]
    while True:
        # Nothing of a failed attempt may be alive in the next, so the error is told apart here and let go of.
        fact = _attempt(training, micro)
        if fact is not None:
            return fact
        release_memory()
        smaller = micro.smaller(shares, lengths)
        if smaller is None:
            raise OutOfMemoryError(
                f"training {spec.delta} needs more memory than there is, even for one record at a time with activations computed twice: "
                "use a machine with more memory, a smaller model, a LoRA instead of a full training, or a smaller data.maxTokens"
            )
        _log.warning(
            "out of memory with %d tokens at once; trying %d%s, at the same batch size",
            micro.tokens,
            smaller.tokens,
            " with activations computed twice" if smaller.recompute else "",
        )
        micro = smaller


def _attempt(training: Training, micro: MicroBatches) -> DeltaFact | None:
    try:
        return training.run(micro)
    except Exception as error:
        training.peers.tell(error)
        if not is_out_of_memory(error):
            raise
        return None
