"""Sentences for what a JSON schema refuses: the value, what is wrong with it, what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autollm.resources.patterns import REMEDIES
from autollm.resources.problems import nearest, shown


def sentence(keyword: str, limit: Any, value: Any) -> str:
    """Return the message for a value that the keyword of a schema refuses, `limit` being what stands beside the keyword."""
    return _SENTENCES.get(keyword, _other)(limit, value)


def missing(description: str) -> str:
    """Return the message for a required field that is not there."""
    return f"is missing: add it ({description.rstrip('.')})" if description else "is missing: add it"


def _type(types: Any, value: Any) -> str:
    names = types if isinstance(types, list) else [types]
    if names == ["integer", "string"]:
        if isinstance(value, float):
            return f'{shown(value)} must be written in quotes: "{value}"'
        return f'{shown(value)} is not a number: write one in quotes, such as "0.5"'
    if names == ["integer"] and isinstance(value, str) and value.strip().lstrip("+-").isdigit():
        return f"{shown(value)} is text: write the number without quotes"
    return f"{shown(value)} is {_what(value)}, {_WANTED.get(names[0], 'something else')}"


_WANTED = {
    "integer": "but must be a whole number",
    "boolean": "but must be true or false, without quotes",
    "string": "but must be text: write it in quotes",
    "array": "but must be a list: begin every entry with a dash",
    "object": "but must be a mapping: write its fields below it, or {} where it has none",
    "number": "but must be a number",
}


def _what(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case None:
            return "nothing"
        case _:
            return "a mapping"


def _enum(options: Any, value: Any) -> str:
    hint = nearest(str(value), map(str, options))
    return f"{shown(value)} must be one of {', '.join(map(str, options))}" + (f"; {hint}" if hint.startswith("did") else "")


def _pattern(pattern: Any, value: Any) -> str:
    return f"{shown(value)} does not fit: {REMEDIES.get(pattern, f'it must match {pattern}')}"


def _number(word: str) -> Callable[[Any, Any], str]:
    return lambda limit, value: f"{shown(value)} must be {word} {limit}"


def _length(word: str, unit: str) -> Callable[[Any, Any], str]:
    return lambda limit, value: f"{shown(value)} must have {word} {limit} {unit}"


def _entries(word: str, remedy: str) -> Callable[[Any, Any], str]:
    return lambda limit, value: f"has {len(value)} and must have {word} {limit} {'entry' if limit == 1 else 'entries'}: {remedy}"


def _other(limit: Any, value: Any) -> str:
    return f"{shown(value)} does not fit {shown(limit)}"


_SENTENCES: dict[str, Callable[[Any, Any], str]] = {
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _number("at least"),
    "maximum": _number("at most"),
    "exclusiveMinimum": _number("above"),
    "exclusiveMaximum": _number("below"),
    "minLength": _length("at least", "characters"),
    "maxLength": _length("at most", "characters: shorten it"),
    "minItems": _entries("at least", "add one"),
    "maxItems": _entries("at most", "remove some"),
    "minProperties": _entries("at least", "add one"),
    "maxProperties": _entries("at most", "remove some"),
}
