from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.errors import InputError, IntegrityError, Interrupted, TemporaryError
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec
from autollm.store import AccessDeniedError, NotFoundError, Stat
from autollm.store.folder import FolderStore
from autollm_runtime.delta import read_delta
from autollm_runtime.evaluate import run
from autollm_runtime.evaluate.evaluator import Evaluator
from autollm_runtime.evaluate.run import run_evaluate
from autollm_runtime.model.folder import inspect_folder
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.feed import FolderFeed
from autollm_runtime.worker.reports import FolderReports
from support.evaluation import LIKELIHOOD, Landscape, make_landscape
from support.tiny_model import make_tiny_model

EXACT = {"name": "exact", "match": {}}
NUMBER = {"name": "number", "match": {"kind": "Number", "maxTokens": 8}}
PREFERENCE = {"name": "preference", "preference": {}}


@dataclass(frozen=True)
class UntilEmpty:
    """The folder's trials; when none waits, the task is asked to stop."""

    feed: FolderFeed
    stop: threading.Event

    def next(self, slot: int, run: str) -> MergeTrial | None:
        trial = self.feed.next(slot, run)
        if trial is None:
            self.stop.set()
        return trial

    def named(self, name: str) -> MergeTrial | None:
        return self.feed.named(name)

    def wait(self, stop: threading.Event) -> None:
        self.feed.wait(stop)


def context_of(landscape: Landscape, scratch: Path) -> Context:
    stop = threading.Event()
    return Context(FolderReports(landscape.objects), UntilEmpty(FolderFeed(landscape.objects), stop), scratch, stop, threads=1)


def evaluate(landscape: Landscape, scratch: Path) -> None:
    with pytest.raises(Interrupted):
        run_evaluate(landscape.task, context_of(landscape, scratch))


def results_of(landscape: Landscape, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in landscape.store.read(layout.trial_results("demo", name)).splitlines()]


def merged_by_hand(landscape: Landscape, weights: Mapping[str, float], scratch: Path) -> Any:
    """The merged model by the definition: a fresh base, to which each weighted product of factors is added."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(landscape.base, dtype=torch.float32)
    parameters = dict(model.named_parameters())
    for delta in landscape.task.deltas:
        read = read_delta(landscape.store, delta.name, delta.key, base=landscape.task.model.digest, scratch=scratch)
        for name, change in read.low_rank.items():
            with torch.no_grad():
                product: torch.Tensor = (change.b.double() @ change.a.double()).float()
                parameters[name].add_(product, alpha=weights.get(delta.name, 0.0) * change.scale)
    return model


def likelihoods_by_hand(landscape: Landscape, model: Any, split: str) -> dict[str, float]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(landscape.base)
    fact = landscape.task.search if split == "Search" else landscape.task.test
    found = {}
    for line in landscape.store.read(layout.records(fact.digest)).splitlines():
        record = json.loads(line)
        prompt = record.get("prompt") or record["messages"][:-1]
        answer = record.get("chosen") or record["messages"][-1]["content"]
        asked = tokenizer(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))["input_ids"]
        reply = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            output = model(input_ids=torch.tensor([asked + reply])).logits[0].double().log_softmax(-1)
        logs = [float(output[len(asked) - 1 + place, token]) for place, token in enumerate(reply)]
        found[record["id"]] = float(torch.tensor(logs).double().mean().exp())
    return found


def test_scores_are_those_of_the_model_merged_by_hand(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path)
    candidates: dict[str, dict[str, float]] = {
        "base": {},
        "one": {"math/sft": 1.0},
        "mixed": {"math/sft": 0.5, "code/sft": -0.75},
        "again": {},
    }
    for number, (name, weights) in enumerate(candidates.items()):
        landscape.trial(name, {delta: str(weight) for delta, weight in weights.items()}, number=number)
    evaluate(landscape, tmp_path / "scratch")
    for name, weights in candidates.items():
        expected = likelihoods_by_hand(landscape, merged_by_hand(landscape, weights, tmp_path), "Search")
        lines = results_of(landscape, name)
        assert {line["id"]: line["values"]["likelihood"] for line in lines} == pytest.approx(expected, abs=1e-5)
        outcome = landscape.outcome(name)
        sources = [[expected[line["id"]] for line in lines if line["source"] == source] for source in ("chats", "pairs")]
        assert float(outcome["score"]) == pytest.approx(sum(sum(values) / len(values) for values in sources) / 2, abs=1e-5)
        assert outcome["results"] == f"{landscape.store.uri}/trials/demo/{name}.jsonl"
    assert results_of(landscape, "again") == results_of(landscape, "base")
    assert results_of(landscape, "mixed") != results_of(landscape, "base")


def test_all_metrics_of_every_shape_in_one_trial(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path, [LIKELIHOOD, EXACT, NUMBER, PREFERENCE])
    landscape.trial("t")
    evaluate(landscape, tmp_path / "scratch")
    outcome = landscape.outcome("t")
    assert {metric["name"]: metric["items"] for metric in outcome["metrics"]} == {
        "likelihood": 12,
        "exact": 12,
        "number": 12,
        "preference": 4,
    }
    assert [metric["name"] for metric in outcome["metrics"] if "stopRate" in metric] == ["number"]
    for line in results_of(landscape, "t"):
        assert line["score"] == pytest.approx(sum(line["values"].values()) / len(line["values"]))
        assert isinstance(line["answer"], str)


def test_a_sample_has_its_own_landscape_and_keeps_the_order(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path)
    landscape.trial("whole")
    landscape.trial("part", items=6)
    evaluate(landscape, tmp_path / "scratch")
    whole, part = results_of(landscape, "whole"), results_of(landscape, "part")
    assert landscape.outcome("part")["items"] == len(part) == 6
    chosen = {line["id"]: line for line in part}
    assert [line["source"] for line in part].count("pairs") == 3
    assert [line["id"] for line in whole if line["id"] in chosen] == list(chosen)
    for line in whole:
        if line["id"] in chosen:
            assert chosen[line["id"]]["score"] == pytest.approx(line["score"], abs=1e-6)


def test_only_the_test_split_shows_answers_without_being_asked(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path)
    landscape.trial("search")
    landscape.trial("test", split="Test")
    evaluate(landscape, tmp_path / "scratch")
    assert not any("answer" in line for line in results_of(landscape, "search"))
    assert sum("answer" in line for line in results_of(landscape, "test")) == 4


def test_candidates_are_compared_item_by_item(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path, [LIKELIHOOD, PREFERENCE])
    landscape.trial("base", split="Test")
    where = f"{landscape.store.uri}/{layout.trial_results('demo', 'base')}"
    compared = {"against": [{"trial": "base", "results": where}], "comparedBy": ["preference"], "confidence": "0.9"}
    landscape.trial("auto", {"math/sft": 1}, split="Test", number=1, **compared)
    evaluate(landscape, tmp_path / "scratch")
    objective, preference = landscape.outcome("auto")["differences"]
    scores = [float(landscape.outcome(name)["score"]) for name in ("auto", "base")]
    assert float(objective["difference"]) == pytest.approx(scores[0] - scores[1], abs=1e-8)
    assert float(objective["low"]) <= float(objective["gateLow"]) <= float(objective["high"])
    assert preference["metric"] == "preference"


def test_another_model_is_scored_whole_and_leaves_no_trace(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path)
    other = make_tiny_model(tmp_path / "other", seed=9)
    landscape.trial("before")
    model = {"uri": str(other), "digest": inspect_folder(other, "other").digest()}
    landscape.trial("other", number=1, model=model)
    landscape.trial("after", number=2)
    landscape.trial("damaged", number=3, model=model | {"digest": digest_bytes(b"another")})
    evaluate(landscape, tmp_path / "scratch")
    expected = likelihoods_by_hand(
        landscape, merged_by_hand(Landscape(landscape.task, other, landscape.store, landscape.objects), {}, tmp_path), "Search"
    )
    assert {line["id"]: line["score"] for line in results_of(landscape, "other")} == pytest.approx(expected, abs=1e-5)
    assert results_of(landscape, "after") == results_of(landscape, "before")
    assert landscape.outcome("damaged")["failure"]["reason"] == "DigestMismatch"


class AskedToStop(threading.Event):
    """A request to stop that comes while it is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


class TestFailedTrials:
    def test_a_trial_for_the_evaluator_that_comes_is_left_to_it(self, tmp_path: Path) -> None:
        """A run that has changed makes trials of its new landscape before its old evaluators have heard that they are to stop."""
        landscape = make_landscape(tmp_path)
        landscape.trial("other", landscape=digest_bytes(b"other"))
        feed, reports = FolderFeed(landscape.objects), FolderReports(landscape.objects)
        with pytest.raises(Interrupted):
            run_evaluate(landscape.task, Context(reports, feed, tmp_path / "scratch", AskedToStop(), threads=1))
        assert landscape.outcome("other") == {}

    def test_another_landscape(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "HANDOVER_SECONDS", 0.0)
        landscape = make_landscape(tmp_path)
        landscape.trial("other", landscape=digest_bytes(b"other"))
        landscape.trial("next", number=1)
        evaluate(landscape, tmp_path / "scratch")
        assert landscape.outcome("other")["failure"]["reason"] == "LandscapeMismatch"
        assert "score" in landscape.outcome("next")

    def test_a_delta_that_is_not_there(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path)
        landscape.trial("t", {"law/sft": 1})
        evaluate(landscape, tmp_path / "scratch")
        assert "law/sft" in landscape.outcome("t")["failure"]["message"]

    def test_results_to_compare_with_that_are_gone(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path)
        where = f"{landscape.store.uri}/{layout.trial_results('demo', 'base')}"
        landscape.trial("auto", against=[{"trial": "base", "results": where}])
        landscape.trial("next", number=1)
        evaluate(landscape, tmp_path / "scratch")
        assert landscape.outcome("auto")["failure"]["reason"] == "NotFound"
        assert "score" in landscape.outcome("next")

    def test_logits_that_are_no_numbers(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path)
        overflow_in(landscape, tmp_path)
        landscape.trial("wild", {"math/sft": 10})
        landscape.trial("tame", number=1)
        evaluate(landscape, tmp_path / "scratch")
        wild = landscape.outcome("wild")
        assert wild["failure"]["reason"] == "NonFinite"
        assert "logits" in wild["failure"]["message"]
        assert "score" not in wild
        assert "score" in landscape.outcome("tame")

    def test_what_nobody_expected(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        landscape = make_landscape(tmp_path)
        landscape.trial("unlucky")
        landscape.trial("next", number=1)
        once_before(monkeypatch, ZeroDivisionError("nobody expected this"))
        evaluate(landscape, tmp_path / "scratch")
        failure = landscape.outcome("unlucky")["failure"]
        assert (failure["reason"], "nobody expected this" in failure["message"]) == ("InternalError", True)
        assert "score" in landscape.outcome("next")


class TestWhatEndsTheTask:
    """Neither a score nor a failure is written, so that the next attempt finds the trial waiting."""

    def test_a_store_that_does_not_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        landscape = make_landscape(tmp_path)
        landscape.trial("t")

        def write(store: FolderStore, key: str, data: bytes, **conditions: Any) -> Stat:
            raise TemporaryError("the store does not answer")

        monkeypatch.setattr(FolderStore, "write", write)
        with pytest.raises(TemporaryError):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))
        assert landscape.outcome("t") == {}

    @pytest.mark.parametrize("refusal", [AccessDeniedError("the credentials have expired"), NotFoundError("there is no bucket")])
    def test_a_store_that_refuses_the_results(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: InputError) -> None:
        """It would refuse those of every other trial, and no candidate is to blame."""
        landscape = make_landscape(tmp_path)
        landscape.trial("t")
        landscape.trial("next", number=1)

        def write(store: FolderStore, key: str, data: bytes, **conditions: Any) -> Stat:
            raise refusal

        monkeypatch.setattr(FolderStore, "write", write)
        with pytest.raises(type(refusal)):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))
        assert (landscape.outcome("t"), landscape.outcome("next")) == ({}, {})

    def test_credentials_that_may_not_read_what_a_trial_is_compared_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        landscape = make_landscape(tmp_path)
        other = layout.trial_results("demo", "base")
        landscape.trial("auto", against=[{"trial": "base", "results": f"{landscape.store.uri}/{other}"}])
        read = FolderStore.read

        def refused(store: FolderStore, key: str) -> bytes:
            if key == other:
                raise AccessDeniedError("the credentials have expired")
            return read(store, key)

        monkeypatch.setattr(FolderStore, "read", refused)
        with pytest.raises(AccessDeniedError):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))
        assert landscape.outcome("auto") == {}

    def test_what_kills_it_is_known_to_have_come_with_the_trial_or_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Items that cannot be read concern every trial, and none is to blame."""
        landscape = make_landscape(tmp_path)
        landscape.trial("t")
        context = context_of(landscape, tmp_path / "scratch")
        noted: list[str] = []
        prepare = Evaluator.prepare

        def prepared(evaluator: Evaluator, spec: MergeTrialSpec) -> None:
            noted.append(context.in_hand.trial)
            prepare(evaluator, spec)

        monkeypatch.setattr(Evaluator, "prepare", prepared)
        before_scoring(monkeypatch, lambda: noted.append(context.in_hand.trial))
        with pytest.raises(Interrupted):
            run_evaluate(landscape.task, context)
        assert [*noted, context.in_hand.trial] == ["", "t", ""]

    def test_an_accelerator_that_does_nothing_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every later trial of this process would fail with it."""
        landscape = make_landscape(tmp_path)
        landscape.trial("t")
        landscape.trial("next", number=1)
        once_before(monkeypatch, RuntimeError("CUDA error: device-side assert triggered"))
        context = context_of(landscape, tmp_path / "scratch")
        with pytest.raises(RuntimeError, match="device-side assert"):
            run_evaluate(landscape.task, context)
        assert (context.in_hand.trial, landscape.outcome("t"), landscape.outcome("next")) == ("t", {}, {})

    def test_a_stop_between_two_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        landscape = make_landscape(tmp_path)
        landscape.trial("t")
        context = context_of(landscape, tmp_path / "scratch")
        before_scoring(monkeypatch, context.stop.set)
        with pytest.raises(Interrupted):
            run_evaluate(landscape.task, context)
        assert landscape.outcome("t") == {}

    def test_items_with_a_flipped_byte(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path)
        landscape.trial("t")
        key = layout.records(landscape.task.search.digest)
        landscape.store.write(key, landscape.store.read(key).replace(b"question", b"Question", 1))
        with pytest.raises(IntegrityError):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))

    def test_items_that_no_metric_fits(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path, [PREFERENCE])
        landscape.trial("t")
        with pytest.raises(InputError, match="none of preference fits an item of source 'chats'"):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))

    def test_a_base_that_was_changed(self, tmp_path: Path) -> None:
        landscape = make_landscape(tmp_path)
        weights = landscape.base / "model.safetensors"
        data = weights.read_bytes()
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(IntegrityError):
            run_evaluate(landscape.task, context_of(landscape, tmp_path / "scratch"))


def overflow_in(landscape: Landscape, tmp_path: Path) -> None:
    """Put in place of math/sft a delta that at weight 10 leaves every parameter finite, and lets activations overflow."""
    from safetensors.torch import load_file, save_file

    manifest = json.loads(landscape.store.read(layout.delta_manifest(landscape.task.deltas[0].key)))
    path = tmp_path / "large.safetensors"
    place = manifest["prefix"] + "adapter_model.safetensors"
    landscape.store.download(place, path)
    factors = load_file(path)
    a, b = (f"base_model.model.model.layers.0.self_attn.q_proj.lora_{letter}.weight" for letter in "AB")
    largest = float((factors[b] @ factors[a]).abs().max())
    save_file(factors | {factor: factors[factor] * (1e37 / largest) ** 0.5 for factor in (a, b)}, path)
    landscape.store.upload(path, place)
    for file in manifest["files"]:
        if file["name"] == "adapter_model.safetensors":
            file["digest"] = digest_bytes(path.read_bytes())
    landscape.store.write(layout.delta_manifest(landscape.task.deltas[0].key), json.dumps(manifest).encode())


def before_scoring(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    score = Evaluator.score

    def wrapped(evaluator: Evaluator, trial: MergeTrial, between: Callable[[], None]) -> Any:
        act()
        return score(evaluator, trial, between)

    monkeypatch.setattr(Evaluator, "score", wrapped)


def once_before(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    waiting = [error]

    def act() -> None:
        if waiting:
            raise waiting.pop()

    before_scoring(monkeypatch, act)


def test_a_task_with_a_trial_scores_that_one_and_ends(tmp_path: Path) -> None:
    landscape = make_landscape(tmp_path)
    landscape.trial("mine", {"math/sft": "0.5"})
    landscape.trial("other")
    task = landscape.task.model_copy(update={"trial": "mine"})
    run_evaluate(task, context_of(landscape, tmp_path))
    assert "score" in landscape.outcome("mine")
    assert landscape.outcome("other") == {}


@pytest.mark.parametrize("name", ["done", "gone"])
def test_a_single_trial_with_an_outcome_or_that_is_gone_costs_nothing(tmp_path: Path, name: str) -> None:
    landscape = make_landscape(tmp_path)
    landscape.trial("done")
    landscape.objects.report("MergeTrial", "done", "result", {"failure": {"reason": "Late", "message": "m"}})
    run_evaluate(landscape.task.model_copy(update={"trial": name, "deltas": []}), context_of(landscape, tmp_path))
    assert landscape.outcome("done") == {"failure": {"reason": "Late", "message": "m"}}
