"""Messages under all their names: roles, contents in parts, tool calls, transcripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from autollm_runtime.prepare.contents import Chat, Turn
from autollm_runtime.prepare.lines import value_name
from autollm_runtime.prepare.place import RefusedError, UnusableError

ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""The role that each name stands for: OpenAI's, ShareGPT's, OpenAssistant's, Llama's and LLaMA-Factory's."""

_SPEAKER = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")


def text_of(value: Any) -> str:
    """Return a cell as text: a missing one is empty, numbers are written out, parts of a message are joined.

    Raises UnusableError (NotText) for anything else, such as an image.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    raise UnusableError("NotText")


def turns_of(value: Any, column: str) -> list[Turn]:
    """Return a column of messages with their roles under one name.

    Raises RefusedError (NotMessages, MissingRole, UnknownRole) where the column holds something else, UnusableError (Empty, NotText).
    """
    if isinstance(value, str) and value[:1] in ("[", "{"):
        value = _parsed(value)
    if value is None or value == "":
        raise UnusableError("Empty")
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise RefusedError("NotMessages", f"the column {column!r} holds {value_name(value)}, not a list of messages with role and content")
    return [_turn(message, column) for message in value]


def chat_of(messages: Sequence[Turn]) -> Chat:
    """Check that messages are a question and an answer to learn.

    Raises UnusableError: Empty (nothing asked), EmptyCompletion (an answer is blank), NoAnswer (the last word is not the
    assistant's), RoleOrder (a system message that is not the first).
    """
    if not messages:
        raise UnusableError("Empty")
    if messages[-1]["role"] != "assistant":
        raise UnusableError("NoAnswer")
    check_prompt(messages[:-1])
    if any(not turn["content"].strip() for turn in messages if turn["role"] == "assistant"):
        raise UnusableError("EmptyCompletion")
    return Chat(messages)


def check_prompt(messages: Sequence[Turn]) -> None:
    """Raise UnusableError (Empty, RoleOrder) where messages ask for nothing or hold a system message that is not the first."""
    if not any(turn["role"] in ("user", "tool") and turn["content"].strip() for turn in messages):
        raise UnusableError("Empty")
    if any(turn["role"] == "system" for turn in messages[1:]):
        raise UnusableError("RoleOrder")


def with_system(system: Any, messages: list[Turn]) -> list[Turn]:
    """Put a system message from a column of its own in front, where there is one and the messages have none."""
    text = text_of(system)
    if not text.strip() or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": text}, *messages]


def transcript_turns(transcript: str) -> list[Turn]:
    """Split a transcript of `Human:` and `Assistant:` paragraphs into turns; raises RefusedError (NotMessages) where it has none."""
    parts = _SPEAKER.split(transcript)
    if len(parts) < 3 or parts[0].strip():
        raise RefusedError("NotMessages", "the transcript does not begin with 'Human:' or 'Assistant:'; name the format it has")
    speakers = {"Human": "user", "Assistant": "assistant"}
    return [{"role": speakers[name], "content": text.strip()} for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def _turn(message: Any, column: str) -> Turn:
    if not isinstance(message, Mapping):
        raise RefusedError(
            "NotMessages", f"the column {column!r} holds {value_name(message)} where a message with role and content belongs"
        )
    name = message.get("role", message.get("from"))
    if name is None:
        raise RefusedError("MissingRole", f"a message in column {column!r} has no role; give each message 'role' and 'content'")
    role = ROLES.get(str(name).strip().lower())
    if role is None:
        known = ", ".join(sorted(ROLES))
        raise RefusedError(
            "UnknownRole", f"a message in column {column!r} has the unknown role {str(name)[:40]!r}; the known ones are {known}"
        )
    content = text_of(message.get("content", message.get("value")))
    calls = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    if calls:
        content = "\n".join(filter(None, [content, *map(_call, calls)]))
    return {"role": role, "content": content}


def _call(call: Any) -> str:
    """Write a tool call as text, in the tags that open chat templates share: the canonical message has text only."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "name" not in function:
        raise UnusableError("NotText")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            raise UnusableError("NotText") from None
    return f"<tool_call>\n{json.dumps({'name': function['name'], 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"


def _parsed(text: str) -> Any:
    """Messages inside a CSV cell are JSON text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
