"""Facts of which there can be thousands are written in few bytes, and read back as they were."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.contract.digests import digest_bytes
from autollm.resources import compact
from autollm.resources.facts import ChunkFact, Existing, Prepared, PublishedRevision
from support import synthetic
from support.runs import make_run

KEYS = [digest_bytes(f"delta {number}".encode()) for number in range(2000)]
WEIGHTS = st.decimals("-10", "10", places=8)


def revision(weights: dict[str, Decimal], deltas: dict[str, str]) -> PublishedRevision:
    return PublishedRevision(revision="r1", uri="s3://bucket/r1", digest=KEYS[0], base=KEYS[1], weights=weights, deltas=deltas)


@pytest.mark.parametrize(
    ("name", "source", "shapes"),
    [
        ("math", "math", {"messages": 7}),
        ("math-0003", "math", {"messages": 7, "text": 2}),
        ("a-0001", "a-0001", {}),
        ("pool-2000", "pool", {}),
    ],
)
def test_a_chunk_is_one_line(name: str, source: str, shapes: dict[str, int]) -> None:
    written = {"name": name, "source": source, "digest": KEYS[2], "shapes": shapes}
    (line,) = compact.write_chunks([written])
    assert len(line) < 80
    (read,) = compact.read_chunks([line])
    fact = ChunkFact.model_validate(read)
    assert (fact.name, fact.source, fact.digest, fact.shapes, fact.records) == (name, source, KEYS[2], shapes, sum(shapes.values()))


def test_chunks_are_lines_in_a_document_and_facts_in_memory() -> None:
    chunks = [synthetic.chunk(f"{name}-{n:04}").model_copy(update={"source": name}) for name in ("code", "math") for n in (1, 2)]
    facts = Prepared(
        key=KEYS[0],
        model=synthetic.model_fact(make_run().spec),
        manifest=KEYS[0],
        records=10,
        dropped={},
        chunks=chunks,
        search={"digest": KEYS[0], "count": 2},
        test={"digest": KEYS[0], "count": 2},
        imported=[],
    )
    lines = [line.rpartition(" ")[0] for line in facts.document()["chunks"]]
    assert lines == ["code 0001 m10", " 0002 m10", "math 0001 m10", " 0002 m10"]
    assert Prepared.parse(facts.document()) == facts


@pytest.mark.parametrize("line", ["math", "math - x1 " + "A" * 43, "math - m1 !", "math 0001 m1 " + "A" * 44])
def test_what_is_no_chunk_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is not a chunk"):
        list(compact.read_chunks([line]))


@given(weights=st.lists(WEIGHTS, min_size=65, max_size=120))
def test_a_revision_of_many_deltas_keeps_every_weight_by_key(weights: list[Decimal]) -> None:
    names = [f"source-{number:04}/sft" for number in range(len(weights))]
    whole = revision(dict(zip(names, weights, strict=True)), dict(zip(names, KEYS, strict=False)))
    packed = whole.fit_for_status()
    assert (packed.weights, packed.deltas) == ({}, {})
    assert PublishedRevision.parse(packed.document()).merged == whole.merged
    assert whole.merged == {compact.short_key(key): weight for key, weight in zip(KEYS, weights, strict=False) if weight != 0}


def test_a_revision_of_few_deltas_names_them() -> None:
    few = revision({"math/sft": Decimal("0.5")}, {"math/sft": KEYS[3]})
    assert few.fit_for_status() is few


def test_one_delta_under_two_names_is_added_twice() -> None:
    twins = revision({"a": Decimal("0.5"), "b": Decimal("0.25")}, {"a": KEYS[3], "b": KEYS[3]})
    assert twins.merged == {compact.short_key(KEYS[3]): Decimal("0.75")}


@given(found=st.sets(st.sampled_from(KEYS)))
def test_which_deltas_exist_is_a_bit_for_each(found: set[str]) -> None:
    existing = Existing.among(KEYS, found)
    assert len(str(existing.document())) < 500
    assert Existing.parse(existing.document()).keys(KEYS) == found


def test_of_other_deltas_than_were_looked_for_it_says_nothing() -> None:
    existing = Existing.among(KEYS, KEYS)
    assert existing.keys(KEYS[1:]) == frozenset()
    assert existing.keys([*reversed(KEYS)]) == frozenset()


def test_packed_weights_that_are_cut_short_are_refused() -> None:
    packed = compact.pack_weights(dict.fromkeys(KEYS[:3], Decimal(1)))
    with pytest.raises(ValueError, match="cut short"):
        compact.unpack_weights(packed[:-4])
