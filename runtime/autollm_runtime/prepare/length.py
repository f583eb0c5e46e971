"""Which records are too long: told by their bytes where that suffices, by the tokenizer where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from autollm.contract.manifests import Message
from autollm.errors import InputError
from autollm_runtime.prepare.contents import Chat, Content, Document, Turn
from autollm_runtime.prepare.place import UnusableError

if TYPE_CHECKING:  # it imports PyTorch, which sorting records out does without
    from autollm_runtime.text.encoding import Encoder

_SPARE = 16  # tokens for white space that a template adds only beside longer contents
_MOST_PATTERNS = 10_000


class Lengths(Protocol):
    """How many tokens a record has for the model."""

    def chat(self, prompt: Sequence[Turn], answer: str) -> int:
        """Return the tokens of a chat; raises InputError (TemplateRefused, NoChatTemplate) where the template takes no such chat."""
        ...

    def text(self, text: str) -> int:
        """Return the tokens of a text."""
        ...


class EncodedLengths:
    """The lengths that training and scoring will see."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def chat(self, prompt: Sequence[Turn], answer: str) -> int:
        """Encode a chat and count."""
        return len(self._encoder.answer([Message.model_construct(**turn) for turn in prompt], answer))  # type: ignore[arg-type]  # roles are checked

    def text(self, text: str) -> int:
        """Encode a text and count."""
        return len(self._encoder.text(text))


class Gauge:
    """Refuses records that are longer than `most` tokens, or that the model's chat template does not take.

    No vocabulary makes more tokens of a text than it has bytes. So a record fits where its bytes and what the template adds
    to its pattern of roles are within the limit, and the tokenizer, a hundred times slower, is asked about the others alone.
    """

    def __init__(self, lengths: Lengths, most: int) -> None:
        self._lengths = lengths
        self._most = most
        self._frames: dict[tuple[str, ...], int | None] = {}

    def check(self, content: Content) -> None:
        """Raise UnusableError (TooLong, TemplateRefused), or InputError (NoChatTemplate) where no chat can be encoded at all."""
        if isinstance(content, Document):
            if _size(content.text) + _SPARE > self._most and self._lengths.text(content.text) > self._most:
                raise UnusableError("TooLong")
            return
        prompt = content.messages[:-1] if isinstance(content, Chat) else content.prompt
        answers = [content.messages[-1]["content"]] if isinstance(content, Chat) else [content.chosen, content.rejected]
        frame = self._frame(prompt)
        asked = frame + sum(_size(turn["content"]) for turn in prompt)
        if any(asked + _size(answer) > self._most and self._chat(prompt, answer) > self._most for answer in answers):
            raise UnusableError("TooLong")

    def _frame(self, prompt: Sequence[Turn]) -> int:
        """Return how many tokens the template puts around messages of these roles; raises UnusableError where it refuses them."""
        roles = tuple(turn["role"] for turn in prompt)
        if roles not in self._frames:
            if len(self._frames) >= _MOST_PATTERNS:
                self._frames.clear()
            try:
                tokens = self._lengths.chat([{"role": role, "content": "a"} for role in roles], "a")
                self._frames[roles] = tokens + tokens // 8 + _SPARE
            except InputError as error:
                if error.reason != "TemplateRefused":
                    raise
                self._frames[roles] = None
        frame = self._frames[roles]
        if frame is None:
            raise UnusableError("TemplateRefused")
        return frame

    def _chat(self, prompt: Sequence[Turn], answer: str) -> int:
        try:
            return self._lengths.chat(prompt, answer)
        except InputError as error:
            if error.reason != "TemplateRefused":
                raise
            raise UnusableError("TemplateRefused") from None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
