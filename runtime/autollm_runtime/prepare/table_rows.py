"""Rows of CSV and TSV, line by line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from autollm_runtime.prepare.lines import MAX_LINE, Row, bounded_lines
from autollm_runtime.prepare.place import Place


def csv_rows(file: BinaryIO, place: Place, *, tabs: bool) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV file by the columns of its first line, with the line each ends at.

    Raises InputError (LineTooLong, NotUTF8, InvalidCSV, TruncatedFile).
    """
    lines = bounded_lines(file, place)
    head = next(lines, (1, ""))[1]
    delimiter = "\t" if tabs or ("\t" in head and "," not in head) else ";" if ";" in head and "," not in head else ","
    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(_from(head, lines), delimiter=delimiter, strict=True)
    try:
        columns = next(reader)
        twice = {name for name in columns if columns.count(name) > 1}
        if twice:
            raise place.fault("InvalidCSV", f"the column {min(twice)!r} stands twice in the head; rename one", line=1)
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                message = f"the row has {len(values)} fields where the head has {len(columns)}; put fields with {delimiter!r} in quotes"
                raise place.fault("InvalidCSV", message, line=reader.line_num)
            yield reader.line_num, dict(zip(columns, values, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise place.fault("TruncatedFile", "the file ends inside quotes; close them, or copy it again", line=reader.line_num) from error
        raise place.fault("InvalidCSV", f"the row is not CSV ({error}); put the field in quotes", line=reader.line_num) from error


def _from(head: str, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    yield head
    for _, line in lines:
        yield line
