"""The model card: what it says of weights, scores, data and loading."""

from __future__ import annotations

from decimal import Decimal

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DataManifest, DeltaManifest, RevisionManifest, SourceCounts
from autollm.report.model_card import model_card
from autollm.resources.facts import ItemsFact, ModelFact
from autollm.resources.run_status import Interval, ResultRow, ScoredOn
from autollm.resources.training import Method, Sft

KEY, BASE, DATA = (digest_bytes(name) for name in (b"key", b"base", b"data"))


def scored(score: str) -> ScoredOn:
    return ScoredOn(score=Decimal(score), standard_error=Decimal("0.01"), items=160)


def manifest(uri: str = "hf://org/base@main", results: list[ResultRow] | None = None) -> RevisionManifest:
    sft = DeltaManifest(key=KEY, form="Lora", base=BASE, dtype="BFloat16", prefix="", files=[], method=Method(name="sft", sft=Sft()))
    versus = Interval(difference=Decimal("0.05"), low=Decimal("-0.01"), high=Decimal("0.11"))
    rows = [
        ResultRow(name="auto", weights={"math/sft": Decimal("0.5")}, search=scored("0.61"), test=scored("0.6")),
        ResultRow(name="base", weights={}, test=scored("0.55"), versus=versus),
    ]
    return RevisionManifest(
        revision="r3",
        run="everything",
        trial="everything-1",
        model=ModelFact(uri=uri, digest=BASE, dtype="BFloat16", parameters=10),
        weights={"math/sft": Decimal("0.5000")},
        deltas={"math/sft": KEY},
        lineage=[sft],
        data=DATA,
        results=rows if results is None else results,
        files=[],
        dtype="BFloat16",
        versions={},
        created="2025-01-01T00:00:00+00:00",
        spec={},
    )


ITEMS = ItemsFact(digest=DATA, count=1)
COUNTS = SourceCounts(name="math", read=9, kept={"Train": 5, "Search": 1, "Test": 1}, dropped={"Leaked": 2})
PREPARED = DataManifest(run="everything", key=KEY, sources=[COUNTS], chunks=[], search=ITEMS, test=ITEMS)


@pytest.mark.parametrize(
    "line",
    [
        "base_model: org/base",
        "# everything r3",
        f"| `math/sft` | 0.5 | sft | LoRA | `{KEY[7:19]}` |",
        "| `auto` | 0.6100 ± 0.0100 | 0.6000 ± 0.0100 |  |",
        "| `base` |  | 0.5500 ± 0.0100 | +0.0500 [-0.0100, +0.1100] |",
        "| `math` | 9 | 5 | 1 | 1 | 2 Leaked |",
        'model = AutoModelForCausalLM.from_pretrained("/models/r3")',
    ],
)
def test_the_card_has(line: str) -> None:
    assert line in model_card(manifest(), PREPARED, "file:///models/r3").splitlines()


def test_the_items_of_the_test_split_are_said() -> None:
    assert "the test split on 160 items was never searched" in model_card(manifest(), PREPARED, "file:///models/r3")


def test_a_base_that_is_no_repository_is_not_named_as_one() -> None:
    assert "base_model:" not in model_card(manifest(uri="file:///models/base"), PREPARED, "file:///models/r3")


def test_a_model_in_a_bucket_is_fetched_first() -> None:
    card = model_card(manifest(), PREPARED, "s3://bucket/revisions/r3")
    assert "aws s3 sync s3://bucket/revisions/r3 model" in card
    assert 'from_pretrained("model")' in card


def test_without_scores_it_says_so() -> None:
    assert "published without scores" in model_card(manifest(results=[]), PREPARED, "file:///models/r3")


def test_a_pipe_in_a_reason_does_not_break_the_table() -> None:
    counts = COUNTS.model_copy(update={"dropped": {"a|b": 1}})
    assert "1 a\\|b |" in model_card(manifest(), PREPARED.model_copy(update={"sources": [counts]}), "file:///models/r3")
