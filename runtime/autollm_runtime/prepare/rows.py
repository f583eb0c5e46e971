"""The rows of a source file of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from autollm_runtime.prepare.container import kind_of, open_bytes
from autollm_runtime.prepare.json_rows import is_structure, json_rows
from autollm_runtime.prepare.lines import Row
from autollm_runtime.prepare.parquet_rows import parquet_rows
from autollm_runtime.prepare.place import Place
from autollm_runtime.prepare.table_rows import csv_rows


def read_rows(path: Path, place: Place) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file as objects by column, each with its line or row number; in memory lies one batch.

    Raises InputError, with source, file, position and remedy, where the file is not what it seems.
    """
    kind = kind_of(path, place)
    if kind == "Parquet":
        yield from parquet_rows(path, place)
    elif kind == "JSON":
        yield from json_rows(path, place)
    else:
        with open_bytes(path, place) as file:
            yield from csv_rows(file, place, tabs=kind == "TSV")


def counted_by(path: Path, place: Place) -> Literal["line", "row"]:
    """Return what the numbers of `read_rows` count: lines of a text, or the rows of an array or a Parquet file."""
    kind = kind_of(path, place)
    return "row" if kind == "Parquet" or (kind == "JSON" and is_structure(path, place)) else "line"
