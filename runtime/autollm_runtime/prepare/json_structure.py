"""Rows of one JSON array, or of an object with one such array, decoded value by value through a small window."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from autollm.errors import InputError
from autollm_runtime.prepare.lines import MAX_LINE, Row, not_utf8, value_name
from autollm_runtime.prepare.place import Place

_BLOCK = 2**20
_SPACE = " \t\r\n"
_decode_value = json.JSONDecoder().raw_decode


def structure_rows(file: BinaryIO, place: Place) -> Iterator[tuple[int, Row]]:
    """Yield the objects of an array, or of the one array inside an object, numbered from 1.

    Raises InputError (TruncatedFile, InvalidJSON, NotUTF8, LineTooLong, NotAnObject, NoRecords).
    """
    window = _Window(file, place)
    opening = window.take()
    if opening == "[":
        yield from window.elements()
    elif opening == "{":
        yield from _wrapped_rows(window, place)
    else:
        raise place.fault("InvalidJSON", f"the file begins with {opening!r}, not with an array or an object; write JSON lines")
    if window.skip():
        raise place.fault("InvalidJSON", "something follows the array; write one array, or one object a line")


def _wrapped_rows(window: _Window, place: Place) -> Iterator[tuple[int, Row]]:
    """The rows of the one array of objects inside an object."""
    found: str | None = None
    while True:
        if window.skip() == "}":
            break
        name = window.value()
        window.expect(":")
        if window.skip() == "[" and window.opens_objects():
            for number, row in window.elements():
                if found not in (None, name):
                    raise place.fault("NotAnObject", f"the object has two arrays, {found!r} and {name!r}; leave one", row=number)
                found = str(name)
                yield number, row
        else:
            window.value()
        if window.skip() != ",":
            break
        window.take()
    window.expect("}")
    if found is None:
        raise place.fault("NoRecords", "the object has no array of objects; write the records as one array, or one object a line")


class _Window:
    """A stretch of a JSON text from which values are decoded one by one."""

    def __init__(self, file: BinaryIO, place: Place) -> None:
        self._file = file
        self._place = place
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._position = 0
        self._ended = False

    def skip(self) -> str:
        """Go past white space and return the next character, or nothing at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in _SPACE:
                self._position += 1
            if self._position < len(self._text):
                return self._text[self._position]
            if self._ended:
                return ""
            self._fill()

    def take(self) -> str:
        character = self.skip()
        self._position += 1
        return character

    def opens_objects(self) -> bool:
        """Take the bracket of an array if its first element is an object; any other array is left to `value`."""
        self.take()
        if self.skip() == "{":
            return True
        self._text, self._position = "[" + self._text[self._position :], 0
        return False

    def expect(self, character: str) -> None:
        found = self.take()
        if not found:
            raise self._truncated()
        if found != character:
            raise self._place.fault("InvalidJSON", f"{character!r} was expected where {found!r} stands; write the file again")

    def value(self) -> Any:
        """Decode one value."""
        if not self.skip():
            raise self._truncated()
        while True:
            try:
                value, end = _decode_value(self._text, self._position)
            except RecursionError as error:
                raise self._place.fault("InvalidJSON", "a value is nested too deeply; records are flat") from error
            except ValueError as error:
                if self._ended:
                    raise self._broken(error) from error
                if len(self._text) - self._position > MAX_LINE:
                    raise self._too_long() from error
                self._fill()
                continue
            if end - self._position > MAX_LINE:
                raise self._too_long()
            # A number at the edge of the window may go on behind it.
            if end == len(self._text) and not self._ended and not isinstance(value, (dict, list, str)):
                self._fill()
                continue
            self._position = end
            return value

    def elements(self) -> Iterator[tuple[int, Row]]:
        """Yield the objects of an array whose bracket was taken, and take the closing one."""
        number = 0
        if self.skip() == "]":
            self.take()
            return
        while True:
            number += 1
            row = self.value()
            if not isinstance(row, dict):
                raise self._place.fault("NotAnObject", f"the array holds {value_name(row)}, not an object with columns", row=number)
            yield number, row
            if self.skip() != ",":
                self.expect("]")
                return
            self.take()

    def _fill(self) -> None:
        block = self._file.read(max(_BLOCK, len(self._text) - self._position))
        try:
            more = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise not_utf8(self._place, error) from error
        self._text = self._text[self._position :] + more
        self._position = 0
        self._ended = not block

    def _too_long(self) -> InputError:
        return self._place.fault(
            "LineTooLong", f"a value is longer than {MAX_LINE // 2**20} MiB, or never ends; split it, or mend its quotes"
        )

    def _broken(self, error: ValueError) -> InputError:
        at = getattr(error, "pos", 0)
        if "Unterminated" in str(error) or at >= len(self._text.rstrip()):
            return self._truncated()
        return self._place.fault("InvalidJSON", f"an object is not JSON ({error}); write the file again")

    def _truncated(self) -> InputError:
        return self._place.fault("TruncatedFile", "the file ends before its array does; copy it again")
