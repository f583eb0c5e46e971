"""Records to token ids with the mask of what is learned and scored, by the model's own chat template.

Training, scoring and serving must see the same tokens. So every learned answer stands behind exactly the ids with which
a server would ask for it, and ends with the token at which a server stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from autollm.contract.manifests import Message
from autollm.errors import InputError


@dataclass(frozen=True)
class Encoded:
    """The ids of a record, and for each whether the model is to predict it."""

    ids: list[int]
    mask: list[bool]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def learned(self) -> int:
        """How many tokens are learned or scored."""
        return sum(self.mask)

    @property
    def labels(self) -> list[int]:
        """The ids where they are learned and -100 elsewhere, as loss functions want them."""
        return [token if learned else -100 for token, learned in zip(self.ids, self.mask, strict=True)]


class Encoder:
    """One tokenizer with its chat template; nothing is ever cut, `fits` says what is longer than `max_tokens`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        """Raise InputError where the tokenizer has no end-of-sequence token: what is trained would never stop."""
        if tokenizer.eos_token_id is None:
            raise InputError(
                "the model's tokenizer has no end-of-sequence token, so that a trained model would never stop; "
                "set eos_token in tokenizer_config.json",
                reason="NoEndToken",
            )
        self._tokenizer = tokenizer
        self._end = cast("int", tokenizer.eos_token_id)
        self._stops: frozenset[int] | None = None
        self.max_tokens = max_tokens

    @property
    def has_template(self) -> bool:
        """Whether chats can be encoded at all."""
        return bool(self._tokenizer.chat_template)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens at which an answer ends: the end-of-sequence token, and the one the template closes an answer with."""
        if self._stops is None:
            self._stops = frozenset({self._end, *self._closing_token()}) if self.has_template else frozenset({self._end})
        return self._stops

    def fits(self, encoded: Encoded) -> bool:
        """Whether a record is within `max_tokens`."""
        return len(encoded.ids) <= self.max_tokens

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids with which a server asks for the next answer."""
        return self._ids(self._render(messages, ask=True))

    def answer(self, prompt: Sequence[Message], completion: str) -> Encoded:
        """Encode one answer to a prompt; only the answer and its end are learned."""
        asked_text = self._render(prompt, ask=True)
        asked = self._ids(asked_text)
        whole_text = self._render([*prompt, Message(role="assistant", content=completion)], ask=False)
        if whole_text.startswith(asked_text):
            whole = self._ids(whole_text)
            # A token across the border would be one that no server ever generates.
            reply = whole[len(asked) :] if whole[: len(asked)] == asked else self._ids(whole_text[len(asked_text) :])
        else:  # the template writes an answer otherwise than it asks for it; what it asks is what a server sends
            reply = self._ids(completion)
        reply = self._closed(reply)
        return Encoded(asked + reply, [False] * len(asked) + [True] * len(reply))

    def messages(self, messages: Sequence[Message]) -> Encoded:
        """Encode a chat up to its last answer; every answer and its end are learned.

        Where the template renders earlier turns otherwise once later ones follow (leaving thoughts out, say), only the last
        answer is learned. Raises InputError (reason NoAnswer) where no turn is the assistant's.
        """
        turns = [index for index, message in enumerate(messages) if message.role == "assistant"]
        if not turns:
            raise InputError("the record has no turn of the assistant, so there is nothing to learn from it", reason="NoAnswer")
        last = turns[-1]
        encoded = self.answer(messages[:last], messages[last].content)
        mask = list(encoded.mask)
        for turn in turns[:-1]:
            span = self._span(messages, turn, encoded.ids)
            if span is None:
                return encoded
            mask[span.start : span.stop] = [True] * len(span)
        return Encoded(encoded.ids, mask)

    def text(self, text: str) -> Encoded:
        """Encode a document with its end; all tokens but the first are learned, as the first is predicted from nothing."""
        ids = list(self._tokenizer(text, add_special_tokens=True)["input_ids"])
        if not ids or ids[-1] != self._end:
            ids.append(self._end)
        return Encoded(ids, [False] + [True] * (len(ids) - 1))

    def _span(self, messages: Sequence[Message], turn: int, ids: list[int]) -> range | None:
        """Where the answer of an earlier turn stands in the ids of the whole chat; None where they differ from what is served."""
        asked_text = self._render(messages[:turn], ask=True)
        answered_text = self._render(messages[: turn + 1], ask=False)
        if not answered_text.startswith(asked_text):
            return None
        asked, answered = self._ids(asked_text), self._ids(answered_text)
        if ids[: len(asked)] != asked or ids[: len(answered)] != answered:
            return None
        reply = answered[len(asked) :]
        return range(len(asked), len(asked) + self._end_of(reply))

    def _closed(self, reply: list[int]) -> list[int]:
        """An answer up to and with its last stop token; one that the template leaves open is closed."""
        end = self._end_of(reply)
        if end and reply[end - 1] in self.stop_ids:
            return reply[:end]
        return [*reply, self._end]

    def _end_of(self, reply: list[int]) -> int:
        """The length of an answer without what a template writes behind the token that ends it."""
        stops = self.stop_ids
        return next((index + 1 for index in range(len(reply) - 1, -1, -1) if reply[index] in stops), len(reply))

    def _closing_token(self) -> set[int]:
        """The first special token that the template writes behind an answer."""
        answer = "autollm"
        try:
            text = self._render([Message(role="user", content="?"), Message(role="assistant", content=answer)], ask=False)
        except InputError:
            return set()
        special = set(self._tokenizer.all_special_ids) | set(_added_specials(self._tokenizer))
        behind = self._ids(text[text.rfind(answer) + len(answer) :])
        return set(next(([token] for token in behind if token in special), []))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, messages: Sequence[Message], *, ask: bool) -> str:
        if not self.has_template:
            raise InputError(
                "the model's tokenizer has no chat template, so chats cannot be trained or scored; add chat_template.jinja to the model, "
                "take a model tuned for chats, or give records with text",
                reason="NoChatTemplate",
            )
        turns: list[Mapping[str, Any]] = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=ask)  # type: ignore[arg-type]  # plain dicts
        except (TemplateError, ValueError, TypeError) as error:
            raise InputError(f"the model's chat template refuses the record: {error}", reason="TemplateRefused") from error
        return cast("str", text)


def _added_specials(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Special tokens that only the vocabulary knows, such as an end of turn beside the end of sequence."""
    return [index for index, token in tokenizer.added_tokens_decoder.items() if token.special]
