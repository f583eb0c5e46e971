"""What happens beside the steps of a training: progress is told, checkpoints are kept, and a request to stop is heeded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from autollm.contract.manifests import CurvePoint
from autollm.resources.facts import Progress
from autollm_runtime.train.checkpoints import CheckpointPolicy, Checkpoints, Trained
from autollm_runtime.train.outcome import score
from autollm_runtime.train.trainers import PairTrainer, TokenTrainer
from autollm_runtime.worker.context import Context

_TELL_EVERY = 1.0
_CURVE_POINTS = 500


class Watch(TrainerCallback):
    """The callback of one training; `trained` is what was done before, and grows with every step.

    `tokens` holds how many tokens each step puts through the model, padding left out.
    """

    def __init__(
        self,
        trainer: TokenTrainer | PairTrainer,
        context: Context,
        training: str,
        tokens: Sequence[int],
        checkpoints: Checkpoints,
        policy: CheckpointPolicy,
        before: Trained,
    ) -> None:
        self._trainer = trainer
        self._leads = trainer.peers.rank.leads
        self._context = context
        self._training = training
        self._tokens = tokens
        self._checkpoints = checkpoints
        self._policy = policy
        self._before = before
        self._curve = list(before.curve)
        self._done_tokens = before.tokens
        self._started = self._saved = time.monotonic()
        self._cost = 0.0
        self._told = float("-inf")
        self.stopped = False

    @property
    def trained(self) -> Trained:
        """What was done until now, in this process and before."""
        step = self._curve[-1].step if self._curve else 0
        seconds = self._before.seconds + time.monotonic() - self._started
        return Trained(step=step, tokens=self._done_tokens, seconds=round(seconds, 3), curve=_thinned(self._curve))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count the step, tell of it, and decide whether to save and whether to stop."""
        step, steps = state.global_step, len(self._tokens)
        self._curve.append(CurvePoint(step=step, loss=round(self._trainer.last_loss, 6)))
        self._done_tokens += self._tokens[step - 1]
        now = time.monotonic()
        if self._leads and (now - self._told >= _TELL_EVERY or step == steps):
            self._told = now
            self._tell(step, steps, now)
        if step == steps:
            return
        self.stopped = self._trainer.stopping
        if self.stopped:
            control.should_training_stop = True
        if self._leads and (self.stopped or self._policy.due(now - self._saved, self._cost)):
            self._saved = now
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Copy what the trainer wrote into the artifacts."""
        assert args.output_dir is not None  # noqa: S101  # the settings name it
        self._checkpoints.keep(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.trained)
        finished = time.monotonic()
        self._cost = finished - self._saved
        self._saved = finished

    def _tell(self, step: int, steps: int, now: float) -> None:
        rate = (self._done_tokens - self._before.tokens) / max(now - self._started, 1e-9)
        progress = Progress(step=step, steps=steps, loss=score(self._trainer.last_loss), tokens_per_second=round(rate))
        self._context.reports.progress(self._training, progress)


def _thinned(curve: list[CurvePoint]) -> list[CurvePoint]:
    """At most so many points, evenly spaced, the last among them."""
    stride = -(-len(curve) // _CURVE_POINTS)
    return curve if stride <= 1 else curve[::-1][::stride][::-1]
