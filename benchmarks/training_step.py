"""A training step beside a bare PyTorch loop doing the same arithmetic on the same batches, in pairs taken in turn.

The model has the shape of SmolLM2-135M with random weights and a LoRA of rank 16 on all linear layers; a step learns from 8 short
chats. The bare loop has the same adapter, optimiser, schedule, clipping and micro-batches, and projects only learned positions, as ours
does; it keeps no metrics, no state and no checkpoints. `all` is the same loop projecting every position, as most loops do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--dtype", choices=["BFloat16", "Float32"], help="default: the faster one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(Path(name), options.steps, options.dtype)))


def measure(folder: Path, steps: int, dtype: str | None) -> dict[str, Any]:
    """Train so many steps, and after each take the same step in both bare loops."""
    from transformers import TrainerCallback
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from autollm_runtime.model.dtypes import choose_device, probe_dtype
    from autollm_runtime.model.loading import load_tokenizer, quiet_libraries
    from autollm_runtime.text.encoding import Encoder
    from autollm_runtime.train.checkpoints import CheckpointPolicy, Checkpoints
    from autollm_runtime.train.examples import read_examples
    from autollm_runtime.train.schedule import MicroBatches, plan_steps
    from autollm_runtime.train.trainers import step_collator
    from autollm_runtime.train.training import Training
    from support.training import Bench, sums

    quiet_libraries()
    device = choose_device()
    bench = Bench(folder, write_model(folder / "base"))
    task = bench.task(
        sums(8 * steps),
        {"sft": {"batchSize": 8, "learningRate": "1e-3"}},
        adapter={"lora": {"rank": 16, "alpha": 32}},
        dtype=dtype or probe_dtype(device),
    )
    spec, (context, _) = task.spec, bench.context()
    tokenizer = load_tokenizer(bench.base)
    examples = read_examples(spec.chunk, spec.method, Encoder(tokenizer, spec.max_tokens), bench.store, context.scratch)
    plan = plan_steps([(index,) for index in range(len(examples))], batch_size=8, epochs=1, max_steps=None, seed=0)
    micro = MicroBatches(1024)
    checkpoints = Checkpoints(bench.store, spec.key, context.scratch)
    training = Training(task, context, bench.store, bench.base, tokenizer, device, examples, plan, checkpoints, CheckpointPolicy())
    collate = step_collator(plan, examples, micro, DataCollatorForLanguageModeling(tokenizer.pad_token_id or 0))
    loops = {"bare": BareLoop(training, len(plan), learned_only=True), "all": BareLoop(training, len(plan), learned_only=False)}
    times: dict[str, list[float]] = {"ours": [], "bare": [], "all": []}

    class InTurn(TrainerCallback):
        """After every step of ours, the same step bare."""

        resumed = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.resumed = self.resumed or time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times["ours"].append(time.perf_counter() - self.resumed)
            batch = collate([{"step": state.global_step - 1}])
            for name, loop in loops.items():
                times[name].append(timed(lambda loop=loop: loop.step(batch)))  # type: ignore[misc]  # a default binds the loop
            self.resumed = time.perf_counter()

    trainer = training.trainer(micro)
    trainer.add_callback(InTurn())
    trainer.train()
    warm = slice(2, None)
    ratios = [ours / bare for ours, bare in zip(times["ours"][warm], times["bare"][warm], strict=True)]
    return {
        "benchmark": "training_step",
        "model": "SmolLM2-135M's shape, random weights, LoRA of rank 16",
        "dtype": spec.model.dtype,
        "device": str(device),
        "steps": len(ratios),
        "tokensPerStep": round(statistics.mean(sum(examples[index].length for index in step) for step in plan)),
        "seconds": {name: round(statistics.median(found[warm]), 4) for name, found in times.items()},
        "ratio": round(statistics.median(ratios), 3),
        "limit": 1.10,
    }


class BareLoop:
    """What a person would write by hand: forward, backward, clip, step, schedule."""

    def __init__(self, training: Any, steps: int, *, learned_only: bool) -> None:
        import torch
        from peft import get_peft_model
        from transformers import get_cosine_schedule_with_warmup

        from autollm_runtime.train.learner import make_learner

        spec = training.task.spec
        learner = make_learner(spec, training.base, training.store, training.device, training.context.scratch, longest=128)
        self.model: Any = get_peft_model(learner.model, learner.adapter)  # type: ignore[arg-type]  # there is a LoRA
        self.half = spec.model.dtype == "BFloat16"
        self.device = training.device
        self.learned_only = learned_only
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=0.0, fused=True)
        self.schedule = get_cosine_schedule_with_warmup(self.optimizer, round(0.05 * steps), steps)
        self.model.train()

    def step(self, batch: dict[str, Any]) -> None:
        """Take one step on the micro-batches of ours."""
        import torch
        from torch.nn import functional

        for micro in batch["micro"]:
            labels = micro["labels"].to(self.device)
            inputs = {name: tensor.to(self.device) for name, tensor in micro.items() if name != "labels"}
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                targets, base = labels[:, 1:], self.model.get_base_model()
                if self.learned_only:
                    learned = targets != -100
                    states = base.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
                    logits, targets = base.lm_head(states[learned]), targets[learned]
                else:
                    logits = self.model(**inputs, use_cache=False).logits[:, :-1].flatten(0, 1)
                    targets = targets.flatten()
                loss = functional.cross_entropy(logits.float(), targets, reduction="sum") / batch["learned"]
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.model.zero_grad()


def timed(call: Callable[[], object]) -> float:
    """The seconds of one call, to the end of its work on the device."""
    import torch

    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def write_model(folder: Path) -> Path:
    """Write a model of SmolLM2-135M's shape with a byte tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from support.tiny_model import make_tiny_tokenizer

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tiny_tokenizer().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
