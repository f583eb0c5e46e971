"""Data that no method uses, methods that no data feeds, and data of which too little remains."""

from __future__ import annotations

import pytest

from autollm.contract.manifests import SourceCounts
from autollm.errors import InputError
from autollm.resources.facts import Shape
from autollm.resources.run import RunSpec
from autollm.resources.training import Method
from autollm_runtime.prepare.remains import check_remains
from autollm_runtime.prepare.shapes import check_uses


def methods(*kinds: str, sources: list[str] | None = None) -> list[Method]:
    return [Method.parse({"name": f"my-{kind}", kind: {}, **({"sources": sources} if sources else {})}) for kind in kinds]


def shapes(**found: Shape) -> dict[str, frozenset[Shape]]:
    return {source: frozenset({shape}) for source, shape in found.items()}


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (["sft"], {"math": "messages"}),
        (["sft"], {"math": "preference"}),
        (["sft", "dpo"], {"math": "messages", "pairs": "preference"}),
        (["pretrain"], {"books": "text"}),
    ],
)
def test_what_fits_passes(kinds: list[str], found: dict[str, Shape]) -> None:
    check_uses(methods(*kinds), shapes(**found))


@pytest.mark.parametrize(
    ("kinds", "found", "reason", "words"),
    [
        (
            ["sft"],
            {"books": "text"},
            "ShapeUnused",
            r"source books has only texts.*my-sft \(sft\) needs chats or preferences.*\(pretrain\)",
        ),
        (["dpo"], {"math": "messages"}, "ShapeUnused", r"source math has only chats.*my-dpo \(dpo\) needs preferences.*\(sft\)"),
        (["pretrain"], {"pairs": "preference"}, "ShapeUnused", r"my-pretrain \(pretrain\) needs texts.*sft or dpo"),
        (
            ["sft", "dpo"],
            {"math": "messages"},
            "MethodWithoutRecords",
            r"method my-dpo \(dpo\) learns from preferences.*\(math\) have chats",
        ),
    ],
)
def test_what_does_not_fit_is_named(kinds: list[str], found: dict[str, Shape], reason: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_uses(methods(*kinds), shapes(**found))
    assert caught.value.reason == reason


def test_a_method_that_is_meant_for_other_sources_does_not_count() -> None:
    with pytest.raises(InputError, match=r"source math has only chats.*none is meant for this source"):
        check_uses(methods("sft", sources=["code"]), shapes(math="messages", code="messages"))


def spec(**split: str) -> RunSpec:
    return RunSpec.parse(
        {
            "model": {"uri": "m"},
            "artifacts": {"uri": "a"},
            "sources": [{"name": "math", "file": {"uri": "x.jsonl"}}],
            "data": {"split": split},
            "training": {"methods": [{"name": "sft", "sft": {}}]},
        }
    )


def counts(*, read: int = 9, dropped: dict[str, int] | None = None, **kept: int) -> SourceCounts:
    return SourceCounts.model_validate({"name": "math", "read": read, "kept": kept, "dropped": dropped or {}})


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        (
            counts(dropped={"Duplicate": 7, "Leaked": 2}),
            "NoRecords",
            "none of its 9 records is left .Duplicate 7, Leaked 2.*earlier source",
        ),
        (counts(dropped={"TooLong": 9}), "NoRecords", "data.maxTokens"),
        (counts(read=1, Train=1), "OneRecord", "use: Test"),
        (counts(Train=8, Test=1), "EmptySplit", "data.split.search: none of the 9 records.*0.1"),
        (counts(Train=8, Search=1), "EmptySplit", "data.split.test: none of the 9 records"),
        (counts(Test=8, Search=1), "EmptySplit", "fell to training"),
    ],
)
def test_too_little_left_is_an_error_with_the_counts(source: SourceCounts, reason: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_remains(spec(), [source])
    assert caught.value.reason == reason
