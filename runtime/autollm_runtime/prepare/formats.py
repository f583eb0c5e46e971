"""The formats people have, as data: which columns each needs under which names, and how its rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autollm.resources.sources import ColumnMap, FileFormat
from autollm_runtime.prepare.contents import Content
from autollm_runtime.prepare.lines import Row
from autollm_runtime.prepare.parsers import (
    Parser,
    parse_alpaca,
    parse_completion,
    parse_labelled,
    parse_messages,
    parse_preference,
    parse_text,
    parse_transcripts,
)
from autollm_runtime.prepare.place import RefusedError

Names = tuple[str, ...]


@dataclass(frozen=True)
class Format:
    """A format: the parts of a row, each with the names its column may have, the usual one first."""

    parse: Parser
    needed: Mapping[str, Names]
    optional: Mapping[str, Names]


_SYSTEM: Mapping[str, Names] = {"system": ("system", "system_prompt")}
_ANSWERS: Mapping[str, Names] = {"chosen": ("chosen",), "rejected": ("rejected",)}
_ASKED: Names = ("prompt", "question", "query", "instruction", "input", "problem")
_ANSWERED: Names = ("completion", "response", "answer", "output", "solution")

FORMATS: Mapping[FileFormat, Format] = {
    "HHRLHF": Format(parse_transcripts, _ANSWERS, {}),
    "Preference": Format(parse_preference, _ANSWERS, {"prompt": (*_ASKED, "conversations"), "input": ("input", "context"), **_SYSTEM}),
    "Messages": Format(parse_messages, {"messages": ("messages",)}, _SYSTEM),
    "ShareGPT": Format(parse_messages, {"messages": ("conversations", "conversation")}, _SYSTEM),
    "KTO": Format(
        parse_labelled, {"prompt": ("prompt",), "completion": ("completion",), "label": ("label",)}, {"input": ("context",), **_SYSTEM}
    ),
    "Alpaca": Format(
        parse_alpaca, {"prompt": ("instruction",), "completion": ("output",)}, {"input": ("input",), "history": ("history",), **_SYSTEM}
    ),
    "Dolly": Format(
        parse_alpaca, {"prompt": ("instruction",), "completion": ("response",)}, {"input": ("context",), "history": (), **_SYSTEM}
    ),
    "PromptCompletion": Format(parse_completion, {"prompt": _ASKED, "completion": _ANSWERED}, {"input": ("context",), **_SYSTEM}),
    "Text": Format(parse_text, {"text": ("text", "content")}, {}),
}
"""Every format, the more telling columns first: the first whose columns a row has is the row's."""


@dataclass(frozen=True)
class Layout:
    """How the rows of one file are read: the format, and the column that plays each part."""

    name: FileFormat
    needed: Mapping[str, str]
    optional: Mapping[str, str]

    def parse(self, row: Row) -> Content:
        """Return a row's content; raises UnusableError where the row is dropped, RefusedError where the file cannot be what it seemed."""
        cells: dict[str, Any] = dict.fromkeys(FORMATS[self.name].optional)
        try:
            for part, column in self.needed.items():
                cells[part] = row[column]
        except KeyError:
            raise self._lacking(row) from None
        for part, column in self.optional.items():
            cells[part] = row.get(column)
        return FORMATS[self.name].parse(cells)

    def _lacking(self, row: Row) -> RefusedError:
        missing = next(column for column in self.needed.values() if column not in row)
        other = recognise(row)
        if other is not None and other != self.name:
            return RefusedError(
                "MixedFormats",
                f"the row is laid out as {other}, while the file began as {self.name}; put each format into a file of its own",
            )
        return RefusedError("MissingColumn", f"the row has no column {missing!r}, but {_listed(row)}; give every row the same columns")


def recognise(row: Row) -> FileFormat | None:
    """Return the format whose columns a row has, or None where no format fits."""
    for name, form in FORMATS.items():
        if all(any(column in row for column in columns) for columns in form.needed.values()):
            if name == "HHRLHF" and not _is_transcript(row):
                continue
            return name
    return None


def layout_of(row: Row, stated: FileFormat, mapped: Mapping[str, str]) -> Layout:
    """Decide from the first row of a file how its rows are read.

    `stated` and `mapped` (the column of a part) are what the source says; a mapped column comes before the usual names. Raises
    RefusedError (UnknownFormat, MissingColumn) where the row does not have what that needs.
    """
    for part, column in mapped.items():
        if column not in row:
            raise RefusedError("MissingColumn", f"the row has no column {column!r}, which map.{part} names; it has {_listed(row)}")
    name = _from_map(mapped) if stated == "Auto" else stated
    if name is None:
        name = recognise(row)
    if name is None:
        raise RefusedError("UnknownFormat", f"no format has the columns {_listed(row)}; name them under file.map, such as map.prompt")
    form = FORMATS[name]
    needed: dict[str, str] = {}
    for part, names in form.needed.items():
        found = mapped.get(part) or next((column for column in names if column in row), None)
        if found is None:
            raise RefusedError(
                "MissingColumn", f"format {name} needs the column {names[0]!r}, and the row has {_listed(row)}; add it, or map.{part}"
            )
        needed[part] = found
    taken = set(needed.values())
    optional: dict[str, str] = {}
    for part, names in form.optional.items():
        chosen = mapped.get(part) or next(
            (column for column in names if column in row and column not in taken), names[0] if names else None
        )
        if chosen is not None and chosen not in taken:
            optional[part] = chosen
    return Layout(name, needed, optional)


def mapped_parts(columns: ColumnMap | None) -> dict[str, str]:
    """Return the column of each part of a record that a source maps; the origin is no part of it."""
    return {} if columns is None else columns.model_dump(exclude_none=True, exclude={"origin"})


def _from_map(mapped: Mapping[str, str]) -> FileFormat | None:
    if "chosen" in mapped or "rejected" in mapped:
        return "Preference"
    if "messages" in mapped:
        return "Messages"
    if "text" in mapped:
        return "Text"
    return "PromptCompletion" if "prompt" in mapped or "completion" in mapped else None


def _is_transcript(row: Row) -> bool:
    return all(
        isinstance(row[column], str) and row[column].lstrip().startswith(("Human:", "Assistant:")) for column in ("chosen", "rejected")
    )


def _listed(row: Row) -> str:
    names = [repr(str(name)[:40]) for name in row]
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "no columns at all"
