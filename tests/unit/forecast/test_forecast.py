"""The forecast is what the planner comes to, with as many trainings and trials as the run then really has."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.errors import DocumentError
from autollm.forecast.compute import Trained, gpu_hours, scoring_operations
from autollm.forecast.forecast import Forecast, forecast
from autollm.forecast.parameters import count_parameters, read_count
from autollm.forecast.survey import Survey
from autollm.resources.run import Artifacts, BaseModelSpec
from autollm.resources.training import Adapter, Method
from support.runs import make_run
from support.world import World

CHATS = Survey(1000, record_bytes=400, shape="messages")
CHOICES = Survey(1000, record_bytes=400, shape="preference")
UNKNOWN = Survey(None, unknown="cannot be read from here: it is elsewhere")
SFT_AND_DPO = {"methods": [{"name": "sft", "sft": {}}, {"name": "dpo", "dpo": {}}]}


def ahead(surveys: dict[str, Survey], parameters: int | None = 1000, **changes: Any) -> Forecast:
    return forecast(make_run(**changes), surveys, parameters, 100.0)


@pytest.mark.parametrize(
    "changes", [{}, {"search": {"trials": 7, "items": 10, "finalists": 2}}, {"baselines": {"trainOnAll": True, "each": False}}]
)
def test_it_is_what_the_run_then_does(changes: dict[str, Any]) -> None:
    run = make_run(**changes)
    world = World(run)
    world.settle()
    made = forecast(run, {"math": CHATS, "code": CHATS}, 1000, 100.0)
    assert made.jobs["train"] == len(world.trainings)
    search = [trial for trial in world.trials.values() if trial.spec.split == "Search"]
    test = [trial for trial in world.trials.values() if trial.spec.split == "Test"]
    assert made.trials.search + made.trials.finalists == len(search)
    assert made.trials.test >= len(test) >= made.trials.test - (run.spec.search.finalists - 1)


def test_trainings_are_told_by_source_and_method() -> None:
    made = ahead({"math": CHATS, "code": CHOICES}, training=SFT_AND_DPO, data={"chunk": {"maxRecords": 300}})
    assert made.trainings == {("math", "sft"): 3, ("code", "sft"): 3, ("code", "dpo"): 3}
    assert [chunk.records for chunk in made.facts.chunks if chunk.source == "math"] == [267, 267, 266]


def test_pooled_chunks_are_of_no_source() -> None:
    made = ahead({"math": CHATS, "code": CHATS}, data={"chunk": {"by": "Size", "maxRecords": 400}})
    assert made.trainings == {("pool", "sft"): 4}


def test_a_source_that_is_not_known_has_one_chunk_that_every_method_fits_and_no_hours() -> None:
    made = ahead({"math": UNKNOWN, "code": CHATS}, training=SFT_AND_DPO)
    assert made.trainings == {("math", "sft"): 1, ("math", "dpo"): 1, ("code", "sft"): 1}
    assert made.hours is None


def test_a_document_that_cannot_be_planned_is_refused_as_the_run_would_be() -> None:
    with pytest.raises(DocumentError, match="UnknownSource"):
        ahead({"math": CHATS, "code": CHATS}, evaluation={"metrics": [{"name": "m", "likelihood": {}, "sources": ["maths"]}]})
    with pytest.raises(DocumentError, match=r"raise data\.chunk\.maxRecords"):
        ahead({"math": Survey(10_000_000, shape="messages"), "code": CHATS}, data={"chunk": {"maxRecords": 1000}})


def test_computing_follows_the_rules_of_thumb() -> None:
    lora = Trained(Method.parse({"name": "m", "sft": {"epochs": 2}}), None, records=100, record_tokens=50)
    assert lora.operations(1_000) == 4 * 1_000 * 100 * 2 * 50
    full = Trained(Method.parse({"name": "m", "sft": {"maxSteps": 2, "batchSize": 10}}), Adapter.parse({"full": {}}), 100, 50)
    assert full.operations(1_000) == 6 * 1_000 * 20 * 50
    dpo = Trained(Method.parse({"name": "m", "dpo": {}}), None, records=1, record_tokens=1)
    assert dpo.operations(1) == 6
    metrics = make_run(evaluation={"metrics": [{"name": "m", "match": {"maxTokens": 3}}]}).spec.evaluation.effective_metrics
    assert scoring_operations(metrics, items=10, item_tokens=20, parameters=1000) == 2 * 1000 * 10 * (20 + 30)
    assert gpu_hours(3.6e15, tflops=1.0) == 1.0


def test_hours_grow_with_the_model_and_shrink_with_the_gpu() -> None:
    small, large = (ahead({"math": CHATS, "code": CHATS}, size).hours for size in (10**9, 2 * 10**9))
    assert small is not None
    assert large is not None
    assert large.train == pytest.approx(2 * small.train)
    # 1,600 records of 100 tokens, at four operations a parameter.
    assert small.train == pytest.approx(4 * 10**9 * 1600 * 100 / 1e14 / 3600)


@pytest.mark.parametrize(("text", "count"), [("135M", 135_000_000), ("8b", 8 * 10**9), ("1.5B", 1_500_000_000), ("1000", 1000)])
def test_sizes_are_written_as_people_say_them(text: str, count: int) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize("text", ["", "big", "0B", "-1B", "8 B"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="such as 135M or 8B"):
        read_count(text)


def test_the_size_of_a_model_is_in_the_headers_of_its_weights(tmp_path: Path) -> None:
    for number, shape in enumerate(([10, 20], [5])):
        header = json.dumps({"__metadata__": {}, f"w{number}": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
        (tmp_path / f"model-{number}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    artifacts = Artifacts(uri="file:///artifacts")
    assert count_parameters(BaseModelSpec(uri=tmp_path.as_uri()), artifacts) == 205
    (tmp_path / "model-0.safetensors").write_bytes(b"not one")
    assert count_parameters(BaseModelSpec(uri=tmp_path.as_uri()), artifacts) is None
    assert count_parameters(BaseModelSpec(uri=(tmp_path / "none").as_uri()), artifacts) is None


def test_a_model_of_a_hub_that_does_not_answer_has_no_known_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert count_parameters(BaseModelSpec(uri="hf://example/model"), Artifacts(uri="file:///artifacts")) is None


def call(tmp_path: Path, *options: str) -> Result:
    (tmp_path / "math.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 100)
    document = make_run().document()
    document["spec"]["sources"] = [
        {"name": "math", "file": {"uri": "math.jsonl"}},
        {"name": "code", "file": {"uri": "elsewhere.jsonl"}},
    ]
    (tmp_path / "run.yaml").write_text(json.dumps(document))
    return CliRunner().invoke(main, ["plan", str(tmp_path / "run.yaml"), *options])


def test_the_command_tells_people(tmp_path: Path) -> None:
    result = call(tmp_path, "--parameters", "8B")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["math", "100", "1", "1"] in rows
    assert ["code", "?", "at", "least", "1", "1"] in rows
    assert "code cannot be read from here" in result.stdout
    assert "Jobs: 1 prepare; 2 train" in result.stdout
    assert "not all sources can be counted" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_the_command_tells_programs(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 10)
    told = json.loads(call(tmp_path, "--parameters", "8B", "--format", "json").stdout)
    assert told["jobs"] == {"prepare": 1, "train": 2, "evaluate": 1, "publish": 1}
    assert told["gpuHours"]["train"] > 0
