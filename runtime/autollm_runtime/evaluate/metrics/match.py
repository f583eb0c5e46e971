"""Whether a generated answer agrees with the reference: what is compared is drawn from both in the same way."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from autollm.errors import InputError
from autollm.resources.evaluation import Match

_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?!\d)")
_DECODER = json.JSONDecoder()


def generates(rule: Match) -> bool:
    """Whether the kind needs a generated answer; Exact is read from one forward pass over the reference."""
    return rule.kind != "Exact"


def fits(rule: Match, reference: str) -> bool:
    """Whether the reference holds what the kind compares: a number, a match of the pattern, all of the fields."""
    match rule.kind:
        case "Exact":
            return True
        case "Contains":
            return bool(reference.strip())
        case _:
            return _drawn(rule, reference) is not None


def agrees(rule: Match, answer: str, reference: str) -> bool:
    """Tell whether a generated answer agrees with a reference that fits.

    Contains: the reference occurs in the answer, whatever the case and the spaces. Number: the last numbers of both are
    equal. Regex: the last matches are. JSONFields: the fields of the first JSON object of each are. An answer without
    such a number, match or object disagrees.
    """
    if rule.kind == "Contains":
        return _plain(reference) in _plain(answer)
    found = _drawn(rule, answer)
    return found is not None and found == _drawn(rule, reference)


def check_pattern(rule: Match, metric: str) -> None:
    """Raise InputError where the pattern of kind Regex is none."""
    try:
        re.compile(rule.pattern or "")
    except re.error as error:
        raise InputError(
            f"evaluation.metrics: the pattern {rule.pattern!r} of metric {metric!r} is no regular expression: {error}",
            reason="InvalidPattern",
        ) from error


def _drawn(rule: Match, text: str) -> Decimal | str | list[object] | None:
    match rule.kind:
        case "Number":
            return last_number(text)
        case "Regex":
            return _last_match(rule.pattern or "", text)
        case "JSONFields":
            return _fields(rule.fields or [], text)
        case _:
            return text


def last_number(text: str) -> Decimal | None:
    """Return the last number of a text, signs, thousands separators, decimals and exponents read; None without one."""
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "").replace("−", "-")) if found else None


def _last_match(pattern: str, text: str) -> str | None:
    last = next(iter(deque(re.finditer(pattern, text), maxlen=1)), None)
    if last is None:
        return None
    drawn = last.group(1) if last.re.groups else last.group()
    return (drawn or "").strip()


def _fields(names: Sequence[str], text: str) -> list[object] | None:
    document = first_object(text)
    if document is None or not all(name in document for name in names):
        return None
    return [document[name] for name in names]


def first_object(text: str) -> dict[str, object] | None:
    """Return the first JSON object that stands whole in a text, as models write it between other words."""
    start = text.find("{")
    while start >= 0:
        try:
            document, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
        else:
            return document  # type: ignore[no-any-return]  # what starts with a brace is an object
    return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
