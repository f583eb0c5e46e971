from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.contract.manifests import Record
from autollm.errors import InputError
from autollm.resources.evaluation import Metric
from autollm_runtime.evaluate.items import Items, build_items, draw
from autollm_runtime.text.encoding import Encoder
from support.tiny_model import make_tiny_tokenizer

LIKELIHOOD = {"name": "likelihood", "likelihood": {}}
EXACT = {"name": "exact", "match": {}}
CONTAINS = {"name": "contains", "match": {"kind": "Contains", "maxTokens": 20}}
NUMBER = {"name": "number", "match": {"kind": "Number", "maxTokens": 30}}
PREFERENCE = {"name": "preference", "preference": {}}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(make_tiny_tokenizer(), 512)


def chat(number: int, answer: str = "it is 7", source: str = "chats") -> Record:
    turns = [{"role": "user", "content": f"what is {number}?"}, {"role": "assistant", "content": answer}]
    return Record.parse({"id": f"c{number}", "source": source, "origin": f"c{number}", "messages": turns})


def pair(number: int) -> Record:
    prompt = [{"role": "user", "content": "which?"}]
    fields = {"prompt": prompt, "chosen": "this", "rejected": "that one"}
    return Record.parse({"id": f"p{number}", "source": "pairs", "origin": f"p{number}", **fields})


def document(number: int) -> Record:
    return Record.parse({"id": f"t{number}", "source": "texts", "origin": f"t{number}", "text": "once upon a time 7"})


def build(encoder: Encoder, records: Sequence[Record], *metrics: dict[str, Any], answers: int = 0) -> Items:
    return build_items(records, [Metric.parse(metric) for metric in metrics], encoder, answers=answers)


class TestWhichMetricsFit:
    def test_by_the_shape_of_the_record(self, encoder: Encoder) -> None:
        items = build(encoder, [chat(1), pair(1), document(1)], LIKELIHOOD, EXACT, PREFERENCE).items
        assert [[metric.name for metric in item.metrics] for item in items] == [
            ["likelihood", "exact"],
            ["likelihood", "exact", "preference"],
            ["likelihood"],
        ]

    def test_by_what_the_reference_holds(self, encoder: Encoder) -> None:
        items = build(encoder, [chat(1), chat(2, answer="it is seven")], LIKELIHOOD, NUMBER).items
        assert [len(item.metrics) for item in items] == [2, 1]

    def test_by_the_sources_a_metric_names(self, encoder: Encoder) -> None:
        items = build(encoder, [chat(1), chat(2, source="other")], LIKELIHOOD, EXACT | {"sources": ["other"]}).items
        assert [len(item.metrics) for item in items] == [1, 2]

    def test_an_item_that_none_fits_is_refused_by_name(self, encoder: Encoder) -> None:
        with pytest.raises(InputError, match=r"none of exact, preference fits an item of source 'texts' \(record t1\)"):
            build(encoder, [pair(1), document(1)], EXACT, PREFERENCE)

    def test_a_metric_that_fits_none_is_refused_by_name(self, encoder: Encoder) -> None:
        with pytest.raises(InputError, match=r"metric 'preference' \(preference\) fits none of the 1 items"):
            build(encoder, [chat(1)], LIKELIHOOD, PREFERENCE)

    def test_weights_that_leave_no_objective_are_refused(self, encoder: Encoder) -> None:
        with pytest.raises(InputError, match="weight 0"):
            build(encoder, [chat(1)], LIKELIHOOD | {"weight": 0})

    def test_a_chat_without_an_answer_is_refused(self, encoder: Encoder) -> None:
        asked = Record.parse({"id": "x", "source": "chats", "origin": "x", "messages": [{"role": "user", "content": "?"}]})
        with pytest.raises(InputError, match="no turn of the assistant"):
            build(encoder, [asked], LIKELIHOOD)

    def test_an_item_without_a_token_to_score_is_refused(self, encoder: Encoder) -> None:
        empty = Record.parse({"id": "x", "source": "texts", "origin": "x", "text": ""})
        with pytest.raises(InputError, match="no token to score"):
            build(encoder, [empty], LIKELIHOOD)


class TestWhatIsComputed:
    def test_metrics_share_one_sequence(self, encoder: Encoder) -> None:
        built = build(encoder, [chat(1), pair(1)], LIKELIHOOD, EXACT, PREFERENCE)
        assert len(built.sequences) == 3
        assert built.prompts == ()
        assert [(item.likely, item.rejected) for item in built.items] == [(0, None), (1, 2)]

    def test_metrics_share_one_answer_with_the_largest_cap(self, encoder: Encoder) -> None:
        built = build(encoder, [chat(1)], CONTAINS, NUMBER)
        assert built.sequences == ()
        assert [prompt.cap for prompt in built.prompts] == [30]

    def test_the_answer_and_its_end_alone_are_scored(self, encoder: Encoder) -> None:
        (sequence,) = build(encoder, [chat(1, answer="yes")], LIKELIHOOD).sequences
        assert sequence.learned == len("yes") + 1
        assert sequence.ids[-1] in encoder.stop_ids

    def test_the_last_of_several_answers_is_the_reference(self, encoder: Encoder) -> None:
        turns = [("user", "a"), ("assistant", "first"), ("user", "b"), ("assistant", "second")]
        messages = [{"role": role, "content": content} for role, content in turns]
        built = build(encoder, [Record.parse({"id": "m", "source": "s", "origin": "m", "messages": messages})], LIKELIHOOD)
        assert built.items[0].reference == "second"
        assert built.sequences[0].learned == len("second") + 1

    def test_answers_to_read_are_asked_of_some_items(self, encoder: Encoder) -> None:
        built = build(encoder, [*(chat(number) for number in range(5)), document(1)], LIKELIHOOD, answers=3)
        assert len(built.prompts) == 3


class TestDraw:
    records = [chat(number, source="abc"[number % 3 if number < 9 else 0]) for number in range(30)]

    def test_all_without_a_number(self) -> None:
        assert draw(self.records, None) == self.records
        assert draw(self.records, 100) == self.records

    def test_evenly_from_the_sources_until_one_is_used_up(self) -> None:
        assert Counter(record.source for record in draw(self.records, 6)) == {"a": 2, "b": 2, "c": 2}
        assert Counter(record.source for record in draw(self.records, 20)) == {"a": 14, "b": 3, "c": 3}

    @given(st.integers(0, 30), st.integers(0, 30), st.randoms())
    def test_larger_draws_contain_smaller_ones_whatever_the_order(self, one: int, other: int, random: Any) -> None:
        small, large = sorted((one, other))
        shuffled = random.sample(self.records, len(self.records))
        assert {record.id for record in draw(shuffled, small)} <= {record.id for record in draw(self.records, large)}
        assert len(draw(shuffled, small)) == small
