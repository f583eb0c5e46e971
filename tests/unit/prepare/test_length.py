"""Lengths: the tokenizer is asked only about records that their bytes do not clear."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from autollm.errors import InputError
from autollm_runtime.prepare.contents import Chat, Choice, Document, Turn
from autollm_runtime.prepare.length import Gauge
from autollm_runtime.prepare.place import UnusableError


class WordLengths:
    """A token a word and five around each message; no system messages."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def chat(self, prompt: Sequence[Turn], answer: str) -> int:
        if any(turn["role"] == "system" for turn in prompt):
            raise InputError("no system messages", reason="TemplateRefused")
        self.asked.append(answer)
        return sum(5 + len(turn["content"].split()) for turn in prompt) + 5 + len(answer.split())

    def text(self, text: str) -> int:
        self.asked.append(text)
        return len(text.split())


def chat(prompt: str, answer: str, *, role: str = "user") -> Chat:
    return Chat([{"role": role, "content": prompt}, {"role": "assistant", "content": answer}])


def test_short_records_are_never_tokenised() -> None:
    lengths = WordLengths()
    gauge = Gauge(lengths, 100)
    for number in range(50):
        gauge.check(chat("a question", f"answer {number}"))
        gauge.check(Document(f"text {number}"))
    assert lengths.asked == ["a"]  # once, for what the template adds


def test_long_ones_are_measured_and_dropped_where_too_long() -> None:
    lengths = WordLengths()
    gauge = Gauge(lengths, 50)
    gauge.check(chat("a question", "word " * 37))
    gauge.check(Document("abcdefghij " * 50))
    assert len(lengths.asked) == 3
    for content in (
        chat("a question", "word " * 40),
        Document("word " * 51),
        Choice([{"role": "user", "content": "a question"}], "short", "word " * 40),
        Choice([{"role": "user", "content": "a question"}], "word " * 40, "short"),
    ):
        with pytest.raises(UnusableError, match="TooLong"):
            gauge.check(content)


def test_chats_that_the_template_refuses_are_dropped_not_met_in_training() -> None:
    with pytest.raises(UnusableError, match="TemplateRefused"):
        Gauge(WordLengths(), 100).check(chat("Be brief.", "yes", role="system"))
