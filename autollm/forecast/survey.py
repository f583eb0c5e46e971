"""A look at a source from here: how many records it has, how long they are and of which shape, as far as that is cheap to know."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from autollm.errors import AutoLLMError
from autollm.resources.facts import Shape
from autollm.resources.run import Artifacts
from autollm.resources.sources import FileSource, Source
from autollm.store import Store, open_location
from autollm.store.objects import objects_at

READ_WHOLE = 256 * 2**20
"""Bytes up to which a file on this machine is read to its end."""

SAMPLE = 2**20
"""Bytes that are read of every other file; the rest is taken to be like them."""

_LINES = (".jsonl", ".ndjson")
_TABLES = {".csv": ",", ".tsv": "\t"}
_BY_FORMAT: Mapping[str, Shape] = {"Preference": "preference", "HHRLHF": "preference", "Text": "text"}


@dataclass(frozen=True)
class Survey:
    """What is known of a source.

    Attributes:
        records: None where nothing could be counted.
        exact: Whether they were counted one by one.
        record_bytes: Of a record on average, as it is stored.
        shape: None where it could not be told.
        unknown: Why something is not known, as the end of a sentence; empty where all is.
    """

    records: int | None
    exact: bool = True
    record_bytes: float = 0.0
    shape: Shape | None = None
    unknown: str = ""


@dataclass(frozen=True)
class _Counted:
    records: int
    exact: bool
    size: int
    first: Mapping[str, Any]


def survey(source: Source, artifacts: Artifacts) -> Survey:
    """Look at the files of a source with this machine's credentials; what cannot be read from here is said to be unknown."""
    assert source.file is not None  # noqa: S101  # the document's rule: exactly one kind of source
    try:
        store, key = open_location(source.file.uri, endpoint=artifacts.endpoint, region=artifacts.region)
        keys = list(objects_at(store, key.removesuffix("/")))
        found = [_count(store, one) for one in keys if keys == [key] or _is_data(one)]
    except (AutoLLMError, OSError) as error:
        return Survey(None, unknown=f"cannot be read from here: {error}")
    counted = [one for one in found if one is not None]
    if not counted or len(counted) < len(found):
        return Survey(None, unknown="is packed, or in a format that is not counted from here")
    records = sum(one.records for one in counted)
    size = sum(one.size for one in counted)
    return Survey(records, all(one.exact for one in counted), size / max(1, records), _shape(source.file, counted[0].first))


def _is_data(key: str) -> bool:
    name = PurePosixPath(key).name.lower()
    ending = PurePosixPath(name).suffix
    return not name.startswith((".", "_")) and ending in (*_LINES, *_TABLES, ".json", ".parquet", ".gz") and name != "dataset_info.json"


def _count(store: Store, key: str) -> _Counted | None:
    """Count the records of a file; None for one that would have to be unpacked."""
    ending = PurePosixPath(key.lower()).suffix
    found = store.stat(key)
    if found is None or ending in (".gz", ".parquet"):
        return None
    whole = found.size <= (READ_WHOLE if store.local_path(key) is not None else SAMPLE)
    with store.open(key) as file:
        data = file.read() if ending == ".json" and whole else b""
        if data.lstrip()[:1] == b"[":
            return _of_array(data)
        lines = _Lines(io.BytesIO(data) if data else file, found.size if whole else SAMPLE)
        first, records = _of_table(lines, _TABLES[ending]) if ending in _TABLES else _of_lines(lines)
    if not whole and lines.taken:
        records = round(records * found.size / lines.taken)
    return _Counted(records, whole, found.size, first)


class _Lines:
    """The whole lines within the first bytes of a file, and how many bytes they take."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most
        self.taken = 0

    def __iter__(self) -> Any:
        for line in self._file:
            if self.taken + len(line) > self._most:
                return
            self.taken += len(line)
            yield line


def _of_lines(lines: _Lines) -> tuple[Mapping[str, Any], int]:
    first: Mapping[str, Any] = {}
    records = 0
    for line in lines:
        if line.strip():
            first = first or _row(line)
            records += 1
    return first, records


def _of_table(lines: _Lines, separator: str) -> tuple[Mapping[str, Any], int]:
    rows = csv.reader((line.decode(errors="replace") for line in lines), delimiter=separator)
    head = next(rows, [])
    return dict.fromkeys(head, ""), sum(1 for row in rows if row)


def _of_array(data: bytes) -> _Counted | None:
    try:
        rows = json.loads(data)
    except ValueError:
        return None
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    return _Counted(len(rows), True, len(data), first)


def _row(line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _shape(file: FileSource, row: Mapping[str, Any]) -> Shape | None:
    """Tell the shape as prepare does: by the format that is stated, by the columns that are mapped, else by those of the first row."""
    if file.format != "Auto":
        return _BY_FORMAT.get(file.format, "messages")
    mapped = {} if file.map is None else file.map.model_dump(exclude_none=True, exclude={"origin"})
    columns = mapped or row
    if not columns:
        return None
    if "chosen" in columns or "rejected" in columns:
        return "preference"
    return "text" if "text" in columns or set(columns) == {"content"} else "messages"
