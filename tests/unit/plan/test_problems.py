"""What no schema can see: each problem stalls the run with the field, its value and the remedy, before any work."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.plan.plan import Plan
from autollm.plan.step import Ended
from support.runs import make_run
from support.world import World

SFT = {"name": "sft", "sft": {}}
DPO = {"name": "dpo", "dpo": {}}

BEFORE_ANY_WORK: list[tuple[str, dict[str, Any], str]] = [
    ("CircularMethods", {"training": {"methods": [{**SFT, "after": "dpo"}, {**DPO, "after": "sft"}]}}, "sft and dpo wait for each other"),
    (
        "UnknownSource",
        {"evaluation": {"metrics": [{"name": "answers", "match": {}, "sources": ["maths"]}]}},
        "for the source maths, which this run does not have (did you mean math?).",
    ),
    ("NameTaken", {"deltas": [{"name": "base", "lora": {"uri": "file:///x"}}]}, "deltas: the name base"),
    (
        "NameTaken",
        {
            "deltas": [{"name": "tone", "lora": {"uri": "file:///x"}}],
            "baselines": {"manual": [{"name": "tone", "weights": {"math/sft": 1}}]},
        },
        "baselines.manual: the name tone",
    ),
    ("NameTaken", {"baselines": {"manual": [{"name": "finalist-2", "weights": {"math/sft": 1}}]}}, "finalist-2"),
]
ONCE_THE_DATA_IS_KNOWN: list[tuple[str, dict[str, Any], str]] = [
    (
        "MethodFitsNothing",
        {"training": {"methods": [SFT, DPO]}},
        "dpo (dpo) learns from records of the shape preference, but the sources have messages",
    ),
    (
        "MethodFitsNothing",
        {
            "sources": [{"name": "chats", "file": {"uri": "preference.jsonl"}}, {"name": "books", "file": {"uri": "text.jsonl"}}],
            "training": {"methods": [{"name": "cpt", "pretrain": {}}, {**DPO, "after": "cpt"}]},
        },
        "dpo continues cpt, but no chunk that suits dpo is one that cpt trains on",
    ),
    (
        "ChunkUnused",
        {"sources": [{"name": "math", "file": {"uri": "math.jsonl"}}, {"name": "books", "file": {"uri": "text.jsonl"}}]},
        "no method can train on books, whose records are text; add one that can (pretrain)",
    ),
    (
        "UnknownDelta",
        {"search": {"start": [{"weights": {"maths/sft": 1}}]}},
        "search.start[0].weights: there is no delta maths/sft (did you mean math/sft?)",
    ),
    (
        "UnknownDelta",
        {"baselines": {"manual": [{"name": "human", "weights": {"law/sft": 1}}]}},
        "baselines.manual.human.weights: there is no delta law/sft",
    ),
    (
        "PatternMatchesNothing",
        {"search": {"space": {"deltas": [{"match": "*/dpo", "max": 1}]}}},
        "the pattern */dpo matches none of the deltas math/sft and code/sft",
    ),
    (
        "EmptySpace",
        {"search": {"space": {"deltas": [{"match": "math/*", "min": "2"}]}}},
        "math/sft",
    ),
]


def stalled(changes: dict[str, Any]) -> tuple[World, Plan]:
    world = World(make_run(**changes))
    return world, world.settle()


@pytest.mark.parametrize(("reason", "changes", "words"), BEFORE_ANY_WORK)
def test_before_any_work(reason: str, changes: dict[str, Any], words: str) -> None:
    world, made = stalled(changes)
    check(world, made, reason, words)
    assert not world.tasks


@pytest.mark.parametrize(("reason", "changes", "words"), ONCE_THE_DATA_IS_KNOWN)
def test_once_the_data_is_known(reason: str, changes: dict[str, Any], words: str) -> None:
    world, made = stalled(changes)
    check(world, made, reason, words)


def check(world: World, made: Plan, reason: str, words: str) -> None:
    assert isinstance(made.state, Ended)
    assert words in made.state.message
    assert made.state.message.endswith(".") or reason == "EmptySpace"
    assert world.conditions()["Validated"] == ("False", reason)
    assert world.conditions()["Stalled"] == ("True", reason)
    assert world.conditions()["Succeeded"] == ("False", reason)


@pytest.mark.parametrize("split", ["search", "test"])
def test_too_few_items_to_score_on(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(make_run())
    world.plan()
    for action in world.plan().actions:
        world.act(action)
    world.finish(world.running()[0])
    status = world.run.status
    assert status is not None
    assert status.prepared is not None
    fewer = status.prepared.model_copy(update={split: getattr(status.prepared, split).model_copy(update={"count": 1})})
    world.run = world.run.model_copy(update={"status": status.model_copy(update={"prepared": fewer})})
    made = world.settle()
    check(world, made, "TooFewItems", f"data.split.{split}: 1 records are held out")


def test_a_mended_document_goes_on() -> None:
    world, _ = stalled({"search": {"start": [{"weights": {"maths/sft": 1}}]}})
    world.change(make_run(search={"start": [{"weights": {"math/sft": 1}}]}).spec)
    world.settle()
    assert world.conditions()["Succeeded"][0] == "True"
    assert world.conditions()["Stalled"][0] == "False"
