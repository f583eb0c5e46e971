"""Opening a source file: what kind it is, and its bytes with gzip taken off within bounds."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from autollm_runtime.prepare.place import Place

Kind = Literal["JSON", "CSV", "TSV", "Parquet"]

MAX_EXPANSION = 200
"""A gzip file may unpack to this many times its size; text reaches 20, a decompression bomb 1000."""

FREE_EXPANSION = 256 * 2**20
"""Bytes that any gzip file may unpack to, however small it is."""

_BLOCK = 2**20
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_ENDINGS: dict[str, Kind] = {".jsonl": "JSON", ".ndjson": "JSON", ".json": "JSON", ".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet"}


def kind_by_name(name: str) -> Kind | None:
    """Return what a file's name promises, or None where it promises nothing; `.gz` at the end is looked through."""
    path = PurePosixPath(name.lower())
    return _ENDINGS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix)


def kind_of(path: Path, place: Place) -> Kind:
    """Return what a file is: by its content where that is beyond doubt, else by its name, else by its first character.

    Raises InputError (EmptyFile, UnknownFile) where neither says anything.
    """
    with open_bytes(path, place) as file:
        head = file.read(4096)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(_PARQUET):
        return "Parquet"
    if not text:
        raise place.fault("EmptyFile", "the file is empty; give a file with records, or remove the source")
    named = kind_by_name(place.uri)
    if named == "Parquet":
        raise place.fault("UnknownFile", "the file is not Parquet, though its name says so; write it again, or rename it after its content")
    if named is not None:
        return named
    if text[:1] in (b"{", b"["):
        return "JSON"
    if b"\0" in head:
        raise place.fault("UnknownFile", "the file is neither JSONL, JSON, CSV nor Parquet; convert it to one of them")
    return "CSV"


def open_bytes(path: Path, place: Place) -> BinaryIO:
    """Open a file for reading; gzip, told by its first bytes, is unpacked as it is read.

    While reading, raises InputError (ExpandsTooFar, DamagedGzip, TruncatedFile) where the packed bytes are at fault.
    """
    file = path.open("rb")
    if file.read(2) != _GZIP:
        file.seek(0)
        return file
    file.close()
    return io.BufferedReader(_Unpacked(path, place), _BLOCK)


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file, counted."""

    def __init__(self, path: Path, place: Place) -> None:
        self._file = gzip.open(path, "rb")  # noqa: SIM115  # closed by close()
        self._place = place
        self._left = max(FREE_EXPANSION, MAX_EXPANSION * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider than what BufferedReader gives
        try:
            block = self._file.read(len(buffer))
        except EOFError as error:
            raise self._place.fault("TruncatedFile", "the gzip file ends in the middle; copy it again") from error
        except (OSError, zlib.error) as error:
            raise self._place.fault("DamagedGzip", f"the gzip file is damaged ({error}); copy it again") from error
        self._left -= len(block)
        if self._left < 0:
            raise self._place.fault(
                "ExpandsTooFar", f"the gzip file unpacks to more than {MAX_EXPANSION} times its size; give it unpacked if that is meant"
            )
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()
