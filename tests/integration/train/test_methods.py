"""Each method on a tiny model: the loss is the formula's, the end is learned, and what is published is what was trained."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from transformers import PreTrainedModel

from autollm.contract import layout
from autollm.contract.manifests import DeltaManifest, Message, Record
from autollm.contract.tasks import TrainTask
from autollm.errors import InputError
from autollm.resources.facts import TrainedDelta
from autollm_runtime.delta import read_delta
from autollm_runtime.merge.resident import ResidentMerge
from autollm_runtime.model.loading import load_model, load_tokenizer
from autollm_runtime.text.encoding import Encoded, Encoder
from autollm_runtime.train.checkpoints import CheckpointPolicy
from autollm_runtime.train.run import Limits, run_train, train_delta
from autollm_runtime.train.schedule import MicroBatches
from support.tiny_model import make_tiny_model
from support.training import Bench, documents, preferences, sums

CPU = torch.device("cpu")
ONE_STEP = {"batchSize": 64, "warmup": 0, "schedule": "Constant"}
FULL: dict[str, Any] = {"full": {}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, make_tiny_model(tmp_path / "base"))


def train(bench: Bench, task: TrainTask, *, micro: MicroBatches | None = None) -> TrainedDelta:
    context, reports = bench.context(f"scratch-{task.spec.key[-6:]}")
    train_delta(task, context, Limits(CheckpointPolicy(), micro))
    assert reports.delta is not None
    return reports.delta


def manifest(bench: Bench, delta: TrainedDelta) -> DeltaManifest:
    return DeltaManifest.parse(json.loads(bench.store.read(layout.delta_manifest(delta.key))))


def changes(bench: Bench, task: TrainTask) -> dict[str, torch.Tensor]:
    """The delta of a training as plain differences."""
    delta = read_delta(bench.store, "d", task.spec.key, base=task.spec.model.digest, scratch=bench.folder)
    low_rank = {name: change.scale * change.b.double() @ change.a.double() for name, change in delta.low_rank.items()}
    return low_rank | {name: change.double() for name, change in delta.full.items()}


def norm(change: dict[str, torch.Tensor]) -> float:
    """The length of a delta as one vector; Adam makes single numbers whose gradient is nearly zero follow the noise."""
    return float(torch.stack([part.norm() for part in change.values()]).norm())


def forget(bench: Bench, task: TrainTask) -> None:
    bench.store.delete(layout.delta_manifest(task.spec.key))


def log_probability(model: PreTrainedModel | PeftModel, encoded: Encoded) -> torch.Tensor:
    """The sum of the learned tokens' log-probabilities, by the definition."""
    logits = model(torch.tensor([encoded.ids])).logits[0].double()
    steps = functional.log_softmax(logits, dim=-1)[:-1].gather(1, torch.tensor(encoded.ids[1:])[:, None])[:, 0]
    return (steps * torch.tensor(encoded.mask[1:])).sum()


def encodings(bench: Bench, records: list[Record]) -> list[Encoded]:
    encoder = Encoder(load_tokenizer(bench.base), 128)
    return [encoder.messages(record.messages) if record.messages else encoder.text(record.text or "") for record in records]


def pairs(bench: Bench, records: list[Record]) -> Iterator[tuple[Encoded, Encoded]]:
    encoder = Encoder(load_tokenizer(bench.base), 128)
    for record in records:
        assert record.prompt is not None
        yield encoder.answer(record.prompt, record.chosen or ""), encoder.answer(record.prompt, record.rejected or "")


@pytest.mark.parametrize(("kind", "records"), [("sft", sums()), ("pretrain", documents())])
@pytest.mark.parametrize("adapter", [None, FULL])
def test_the_first_loss_is_the_mean_over_the_learned_tokens(
    bench: Bench, kind: str, records: list[Record], adapter: dict[str, Any] | None
) -> None:
    delta = train(bench, bench.task(records, {kind: ONE_STEP}, adapter=adapter))
    model = load_model(bench.base, "Float32", CPU)
    encoded = encodings(bench, records)
    with torch.no_grad():
        expected = -sum(log_probability(model, one).item() for one in encoded) / sum(one.learned for one in encoded)
    assert manifest(bench, delta).curve[0].loss == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("adapter", [None, FULL])
def test_dpo_is_its_formula_and_starts_at_ln_2(bench: Bench, adapter: dict[str, Any] | None) -> None:
    records = preferences(7)
    settings = {**ONE_STEP, "epochs": 2, "learningRate": "5e-2", "beta": "0.3"}
    curve = manifest(bench, train(bench, bench.task(records, {"dpo": settings}, adapter=adapter), micro=MicroBatches(100))).curve
    assert curve[0].loss == pytest.approx(0.693147, abs=1e-6)
    one = bench.task(records, {"dpo": {**settings, "epochs": 1}}, adapter=adapter)
    train(bench, one, micro=MicroBatches(100))
    reference, model = load_model(bench.base, "Float32", CPU), load_model(bench.base, "Float32", CPU)
    with torch.no_grad():
        state = model.state_dict()
        for name, change in changes(bench, one).items():
            state[name].add_(change.float())
        losses = []
        for chosen, rejected in pairs(bench, records):
            margin = (log_probability(model, chosen) - log_probability(reference, chosen)) - (
                log_probability(model, rejected) - log_probability(reference, rejected)
            )
            losses.append(-functional.logsigmoid(0.3 * margin).item())
    assert curve[1].loss == pytest.approx(sum(losses) / len(losses), abs=2e-6)
    assert abs(curve[1].loss - 0.693147) > 0.01


@pytest.mark.parametrize(("kind", "records"), [("sft", sums(11)), ("dpo", preferences(11)), ("pretrain", documents(11))])
@pytest.mark.parametrize("adapter", [None, FULL])
def test_the_micro_batch_does_not_change_the_delta(bench: Bench, kind: str, records: list[Record], adapter: dict[str, Any] | None) -> None:
    task = bench.task(records, {kind: {"batchSize": 4, "learningRate": "1e-3"}}, adapter=adapter)
    found = []
    for micro in (MicroBatches(1), MicroBatches(100), MicroBatches(100, recompute=True), MicroBatches(10_000)):
        train(bench, task, micro=micro)
        found.append(changes(bench, task))
        forget(bench, task)
    size = norm(found[0])
    for other in found[1:]:
        assert norm({name: other[name] - change for name, change in found[0].items()}) < 1e-3 * size


def test_equal_seeds_give_equal_deltas_and_other_seeds_others(bench: Bench) -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        task = bench.task(sums(), {"sft": {"batchSize": 4, "seed": seed}}, adapter={"lora": {"rank": 4, "alpha": 8, "dropout": "0.2"}})
        train(bench, task)
        found = changes(bench, task)
        forget(bench, task)
        return found

    first, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(change, again[name]) for name, change in first.items())
    assert not any(torch.equal(change, other[name]) for name, change in first.items())


@pytest.mark.parametrize(
    "lora",
    [
        {"rank": 4, "alpha": 8},
        {"rank": 3, "alpha": 5, "rankStabilized": True},
        {"rank": 2, "alpha": 4, "targets": "Attention"},
    ],
)
def test_the_adapter_at_weight_one_has_the_logits_that_were_trained(bench: Bench, lora: dict[str, Any]) -> None:
    task = bench.task(sums(), {"sft": {"learningRate": "1e-2", "epochs": 4}}, adapter={"lora": lora})
    made = train(bench, task)
    folder = bench.store.local_path(manifest(bench, made).prefix)
    assert folder is not None
    ids = torch.tensor([[1, 70, 71, 72, 2]])
    with torch.no_grad():
        peft = PeftModel.from_pretrained(load_model(bench.base, "Float32", CPU), str(folder))
        expected = peft(ids).logits
        model = load_model(bench.base, "Float32", CPU)
        base = model(ids).logits
        delta = read_delta(bench.store, "d", made.key, base=task.spec.model.digest, scratch=bench.folder)
        ResidentMerge(model, [delta]).apply({"d": 1.0})
        merged = model(ids).logits
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)
    assert (merged - base).abs().max() > 1e-3
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == task.spec.model.uri
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == {"q_proj", "k_proj", "v_proj", "o_proj"} | (
        set() if lora.get("targets") == "Attention" else {"gate_proj", "up_proj", "down_proj"}
    )


def test_the_trained_model_answers_and_stops(bench: Bench) -> None:
    records = sums(4)
    task = bench.task(records, {"sft": {"learningRate": "4e-3", "epochs": 120, "batchSize": 4}}, adapter=FULL)
    train(bench, task)
    model: Any = load_model(bench.base, "Float32", CPU)
    tokenizer = load_tokenizer(bench.base)
    delta = read_delta(bench.store, "d", task.spec.key, base=task.spec.model.digest, scratch=bench.folder)
    ResidentMerge(model, [delta]).apply({"d": 1.0})
    encoder = Encoder(tokenizer, 128)
    for record in records:
        assert record.messages is not None
        prompt = encoder.prompt([Message(role="user", content=record.messages[0].content)])
        made = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, len(prompt) :].tolist()
        assert made[-1] in encoder.stop_ids
        assert tokenizer.decode(made[:-1]) == record.messages[1].content


@pytest.mark.parametrize("adapter", [None, FULL])
def test_after_continues_the_delta_and_is_the_total_change(bench: Bench, adapter: dict[str, Any] | None) -> None:
    first = bench.task(sums(), {"sft": {"learningRate": "1e-2", "epochs": 3}}, adapter=adapter)
    start = train(bench, first)
    settings = {**ONE_STEP, "learningRate": "1e-5"}
    second = bench.task(preferences(), {"dpo": settings, "after": "sft"}, adapter=adapter, start=start.key)
    curve = manifest(bench, train(bench, second)).curve
    assert curve[0].loss == pytest.approx(0.693147, abs=1e-6)
    before, total = changes(bench, first), changes(bench, second)
    assert total.keys() == before.keys()
    assert 0 < norm({name: total[name] - change for name, change in before.items()}) < 0.05 * norm(before)


def test_a_start_of_another_form_is_refused(bench: Bench) -> None:
    start = train(bench, bench.task(sums(), {"sft": ONE_STEP}))
    task = bench.task(sums(), {"sft": ONE_STEP, "after": "x"}, adapter=FULL, start=start.key)
    with pytest.raises(InputError, match="form Lora"):
        train(bench, task)


@pytest.mark.parametrize("adapter", [None, FULL])
def test_tied_embeddings_are_one_change(bench: Bench, adapter: dict[str, Any] | None) -> None:
    task = bench.task(sums(), {"sft": ONE_STEP}, adapter=adapter)
    train(bench, task)
    assert "lm_head.weight" not in changes(bench, task)


def test_bf16_trains_fp32_factors_over_a_bf16_base(bench: Bench) -> None:
    task = bench.task(sums(), {"sft": {"epochs": 3, "learningRate": "1e-2"}}, dtype="BFloat16")
    curve = manifest(bench, train(bench, task)).curve
    delta = read_delta(bench.store, "d", task.spec.key, base=task.spec.model.digest, scratch=bench.folder)
    assert {change.a.dtype for change in delta.low_rank.values()} == {torch.float32}
    assert curve[-1].loss < curve[0].loss


def test_a_loss_that_is_not_finite_is_the_settings_fault(bench: Bench) -> None:
    blown_up = load_model(bench.base, "Float32", CPU)
    with torch.no_grad():
        blown_up.get_parameter("model.embed_tokens.weight")[70:72] = torch.tensor([[3e38], [-3e38]])
    blown_up.save_pretrained(bench.base)
    task = bench.task(sums(), {"sft": {"learningRate": "1e-3"}}, adapter=FULL)
    with pytest.raises(InputError, match=r"lower learningRate \(0\.001\)") as refused:
        train(bench, task)
    assert refused.value.reason == "Diverged"
    assert bench.store.stat(layout.delta_manifest(task.spec.key)) is None


def test_progress_is_told_to_the_last_step(bench: Bench) -> None:
    task = bench.task(sums(), {"sft": {"batchSize": 2}})
    context, reports = bench.context()
    before = time.monotonic()
    run_train(task, context)
    assert [(told.step, told.steps) for told in reports.heard][-1] == (6, 6)
    assert len(reports.heard) <= 2 + time.monotonic() - before  # once a second, and at both ends
    assert reports.heard[-1].loss is not None
    assert (reports.heard[-1].tokens_per_second or 0) > 0
    assert reports.delta is not None
    assert reports.delta.tokens == sum(len(one) for one in encodings(bench, sums()))


def test_a_delta_that_exists_is_reported_and_not_trained(bench: Bench) -> None:
    task = bench.task(sums(), {"sft": {}})
    made = train(bench, task)
    (bench.base / "model.safetensors").unlink()  # a training would need it
    context, reports = bench.context("second")
    run_train(task, context)
    assert reports.delta == made
    assert reports.heard == []
