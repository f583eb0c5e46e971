"""The train task: one delta, unless it is in the artifacts already."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from autollm.contract.tasks import TrainTask
from autollm.errors import OutOfMemoryError
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import DeltaFact
from autollm.store import open_store
from autollm_runtime.delta.artifacts import find_delta
from autollm_runtime.model.dtypes import choose_device
from autollm_runtime.model.fetch import fetch_model
from autollm_runtime.model.loading import load_tokenizer, quiet_libraries
from autollm_runtime.text.encoding import Encoder
from autollm_runtime.train.checkpoints import CheckpointPolicy, Checkpoints
from autollm_runtime.train.examples import read_examples, units
from autollm_runtime.train.memory import release_memory
from autollm_runtime.train.outcome import describe_trained
from autollm_runtime.train.schedule import MicroBatches, plan_steps
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
    spec = task.spec
    store = open_store(spec.artifacts.uri, endpoint=spec.artifacts.endpoint, region=spec.artifacts.region)
    fact = find_delta(store, spec.key)
    checkpoints = Checkpoints(store, spec.key, context.scratch)
    if fact is None:
        context.check_stop()
        quiet_libraries()
        device = choose_device()
        base = fetch_model(spec.model, store, context.scratch)
        tokenizer = load_tokenizer(base)
        examples = read_examples(spec.chunk, spec.method, Encoder(tokenizer, spec.max_tokens), store, context.scratch)
        method = spec.method.hyperparameters
        steps = plan_steps(
            units(examples, spec.method, spec.max_tokens),
            batch_size=method.batch_size,
            epochs=method.epochs,
            max_steps=method.max_steps,
            seed=method.seed,
        )
        training = Training(task, context, store, base, tokenizer, device, examples, steps, checkpoints, limits.policy)
        fact = _within_memory(training, limits.micro or MicroBatches(_FIRST_TOKENS[device.type]), spec)
    checkpoints.remove()
    context.reports.trained(task.training, describe_trained(store, fact))


def _within_memory(training: Training, micro: MicroBatches, spec: DeltaTrainingSpec) -> DeltaFact:
    """Train with ever smaller micro-batches until one fits; each attempt goes on from the last checkpoint."""
    lengths = [example.length for example in training.examples]
    while True:
        # Nothing of a failed attempt may be alive in the next, so the error is told apart here and let go of.
        fact = _attempt(training, micro)
        if fact is not None:
            return fact
        release_memory()
        smaller = micro.smaller(training.steps, lengths)
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
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
