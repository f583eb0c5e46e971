"""Lines of text files within bounds, and the words for what is found in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from autollm.errors import InputError
from autollm_runtime.prepare.place import Place

MAX_LINE = 16 * 2**20
"""Bytes of the longest line, and characters of the longest object of an array, that are read."""

BOM = b"\xef\xbb\xbf"

Row = dict[str, Any]


def bounded_lines(file: BinaryIO, place: Place) -> Iterator[tuple[int, str]]:
    """Yield every line with its number from 1; raises InputError (LineTooLong, NotUTF8)."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise place.fault(
                "LineTooLong", f"the line is longer than {MAX_LINE // 2**20} MiB; write one record a line, or split it", line=number
            )
        if number == 1:
            line = line.removeprefix(BOM)
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(place, error, line=number) from error


def not_utf8(place: Place, error: UnicodeDecodeError, line: int | None = None) -> InputError:
    """Return the error for bytes that are no UTF-8."""
    byte = error.object[error.start]
    return place.fault("NotUTF8", f"the file is not UTF-8 (byte 0x{byte:02x}); convert it, for example by iconv -t UTF-8", line=line)


def value_name(value: object) -> str:
    """Return what a JSON value is, in words."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
