"""Rows of JSON files, streamed: one object a line, an array of objects, or an object with one such array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from autollm_runtime.prepare.container import open_bytes
from autollm_runtime.prepare.json_structure import structure_rows
from autollm_runtime.prepare.lines import BOM, MAX_LINE, Row, bounded_lines, value_name
from autollm_runtime.prepare.place import Place

_CHATS = frozenset({"messages", "conversations", "conversation", "chosen", "rejected", "prompt", "completion"})
_PARTS = frozenset({"text", "completion", "output", "response"})
_decode_value = json.JSONDecoder().raw_decode


def json_rows(path: Path, place: Place) -> Iterator[tuple[int, Row]]:
    """Yield the objects of a JSON or JSONL file with the line (JSONL) or row (array) they are at.

    Raises InputError (TruncatedFile, InvalidJSON, NotUTF8, LineTooLong, NotAnObject, NoRecords).
    """
    whole = is_structure(path, place)
    with open_bytes(path, place) as file:
        if whole:
            yield from structure_rows(file, place)
            return
        for number, line in bounded_lines(file, place):
            text = line.strip()
            if text:
                yield number, _object(text, place, number, complete=line.endswith("\n"))


def is_structure(path: Path, place: Place) -> bool:
    """Tell an array, or an object around one, from one object a line; the first lines decide."""
    with open_bytes(path, place) as file:
        return _opens_structure(file, place)


def _opens_structure(file: BinaryIO, place: Place) -> bool:
    first = b""
    while not first and (line := file.readline(MAX_LINE + 1)):
        first = line.removeprefix(BOM).strip()
    if first.startswith(b"["):
        return True
    if not first.startswith(b"{"):
        return False
    if len(first) >= MAX_LINE:
        return True
    try:
        value = _loads(first.decode())
    except (ValueError, RecursionError):
        # An indented file breaks its first line behind one of these; a broken line of JSON lines ends anywhere.
        return first.endswith((b"{", b"[", b",", b":"))
    wrapped = [name for name, part in value.items() if isinstance(part, list) and part and isinstance(part[0], dict)]
    if len(wrapped) != 1 or _is_record(value, wrapped[0]):
        return False
    return not any(line.strip() for _, line in bounded_lines(file, place))


def _is_record(value: Row, name: str) -> bool:
    """Whether an object with one array is a record, whose array is a chat, and not a wrapper around records."""
    return name in _CHATS or not _PARTS.isdisjoint(value)


def _object(text: str, place: Place, number: int, *, complete: bool) -> Row:
    try:
        value = _loads(text)
    except RecursionError as error:
        raise place.fault("InvalidJSON", "the object is nested too deeply; records are flat", line=number) from error
    except ValueError as error:
        if not complete:
            raise place.fault("TruncatedFile", f"the file ends in the middle of an object ({error}); copy it again", line=number) from error
        raise place.fault("InvalidJSON", f"the line is not JSON ({error}); write one whole object a line", line=number) from error
    if not isinstance(value, dict):
        raise place.fault("NotAnObject", f"the line holds {value_name(value)}, not an object with columns", line=number)
    return value


def _loads(text: str) -> Any:
    value, end = _decode_value(text)
    if end != len(text):
        raise ValueError(f"something follows the value at column {end + 1}")
    return value
