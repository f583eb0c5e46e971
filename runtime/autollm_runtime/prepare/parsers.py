"""One small function a format: a row, and which of its columns plays which part, to its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autollm_runtime.prepare.chats import chat_of, check_prompt, text_of, transcript_turns, turns_of, with_system
from autollm_runtime.prepare.contents import Choice, Content, Document, Turn
from autollm_runtime.prepare.place import RefusedError, UnusableError

Cells = Mapping[str, Any]
"""A row's cells by the part they play (prompt, completion, system …); parts that a row lacks are None."""

Parser = Callable[[Cells], Content]
_TRUE = frozenset({"true", "1", "1.0", "yes"})
_FALSE = frozenset({"false", "0", "0.0", "no"})


def parse_alpaca(cells: Cells) -> Content:
    """An instruction with its input or context below it, its output, and the turns that came before, if any."""
    history: list[Turn] = []
    for exchange in cells["history"] or ():
        if not isinstance(exchange, Sequence) or isinstance(exchange, str) or len(exchange) != 2:
            raise UnusableError("NotText")
        history += [_user(exchange[0]), _assistant(exchange[1])]
    return chat_of(with_system(cells["system"], [*history, *_prompt(cells), _assistant(cells["completion"])]))


def parse_messages(cells: Cells) -> Content:
    """A list of messages, by OpenAI's names or by ShareGPT's."""
    return chat_of(with_system(cells["system"], turns_of(cells["messages"], "messages")))


def parse_completion(cells: Cells) -> Content:
    """A prompt and its completion, each a text or a list of messages."""
    return chat_of(with_system(cells["system"], [*_prompt(cells), *_answers(cells["completion"], "completion")]))


def parse_labelled(cells: Cells) -> Content:
    """A completion that was labelled good or bad; only the good ones are learnt from."""
    label = str(cells["label"]).strip().lower()
    if label in _FALSE:
        raise UnusableError("Undesirable")
    if label not in _TRUE:
        raise RefusedError("UnknownLabel", f"the column 'label' holds {str(cells['label'])[:40]!r}; true and false are known")
    return parse_completion(cells)


def parse_preference(cells: Cells) -> Content:
    """A chosen and a rejected answer, with the prompt in a column of its own or as what both have in common."""
    prompt = [] if cells["prompt"] is None else _prompt(cells)
    chosen, rejected = _answers(cells["chosen"], "chosen"), _answers(cells["rejected"], "rejected")
    if not chosen or not rejected:
        raise UnusableError("NoAnswer")
    if len(chosen) > 1 or len(rejected) > 1:
        if prompt and chosen[0]["role"] == "assistant":
            chosen, rejected = [*prompt, *chosen], [*prompt, *rejected]
    elif prompt:
        chosen, rejected = [*prompt, *chosen], [*prompt, *rejected]
    else:
        raise RefusedError("MissingColumn", "there is no column 'prompt' and the answers do not hold it; add it, or map it")
    return _choice(with_system(cells["system"], chosen), with_system(cells["system"], rejected))


def parse_transcripts(cells: Cells) -> Content:
    """Two transcripts that part at the last answer."""
    return _choice(transcript_turns(text_of(cells["chosen"])), transcript_turns(text_of(cells["rejected"])))


def parse_text(cells: Cells) -> Content:
    """A text as it is."""
    text = text_of(cells["text"])
    if not text.strip():
        raise UnusableError("Empty")
    return Document(text)


def _choice(chosen: list[Turn], rejected: list[Turn]) -> Choice:
    if not chosen or not rejected or chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        raise UnusableError("NoAnswer")
    prompt = chosen[:-1]
    if prompt != rejected[:-1]:
        raise UnusableError("PromptsDiffer")
    check_prompt(prompt)
    better, worse = chosen[-1]["content"], rejected[-1]["content"]
    if not better.strip() or not worse.strip():
        raise UnusableError("EmptyCompletion")
    if better.strip() == worse.strip():
        raise UnusableError("ChosenEqualsRejected")
    return Choice(prompt, better, worse)


def _prompt(cells: Cells) -> list[Turn]:
    """The prompt as messages; a text has its input or context below it."""
    if not _is_cell(cells["prompt"]):
        return turns_of(cells["prompt"], "prompt")
    asked = "\n\n".join(part for part in (text_of(cells["prompt"]), text_of(cells["input"])) if part.strip())
    return [{"role": "user", "content": asked}]


def _answers(value: Any, column: str) -> list[Turn]:
    return [_assistant(value)] if _is_cell(value) else turns_of(value, column)


def _is_cell(value: Any) -> bool:
    """Whether a value is one text and not messages; a CSV cell may hold messages as JSON text."""
    if isinstance(value, str):
        return not (value.startswith('[{"') and value.endswith("}]") and ('"content"' in value or '"value"' in value))
    return not isinstance(value, (Sequence, Mapping))


def _user(value: Any) -> Turn:
    return {"role": "user", "content": text_of(value)}


def _assistant(value: Any) -> Turn:
    return {"role": "assistant", "content": text_of(value)}
