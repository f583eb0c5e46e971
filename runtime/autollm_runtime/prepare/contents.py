"""What a row is once its layout is taken away: a chat, a preference between two answers, or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Turn = dict[str, str]
"""One message: its role and its content, as the canonical record writes them."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages that end with an answer."""

    messages: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Choice:
    """Two answers to one prompt, the first of which is better."""

    prompt: Sequence[Turn]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole text."""

    text: str


Content = Chat | Choice | Document
