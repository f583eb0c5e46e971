"""Rows to canonical records: each is spilled, or counted under the reason for which it is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autollm.resources.sources import FileFormat, FileSource, Source
from autollm_runtime.prepare.chats import text_of
from autollm_runtime.prepare.formats import Layout, layout_of, mapped_parts
from autollm_runtime.prepare.length import Gauge
from autollm_runtime.prepare.lines import Row
from autollm_runtime.prepare.locate import SourceFile
from autollm_runtime.prepare.place import RefusedError, UnusableError
from autollm_runtime.prepare.rows import counted_by, read_rows
from autollm_runtime.prepare.spill import Spill

_STOP_EVERY = 4096


@dataclass
class Intake:
    """What became of the rows of one source so far."""

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def ingest(source: Source, index: int, files: Sequence[SourceFile], spill: Spill, gauge: Gauge, check_stop: Callable[[], None]) -> Intake:
    """Read all files of a source into the spill.

    Raises InputError, naming source, file, position and remedy, where a file is not what it seems: see `rows`, `formats`, `chats`.
    """
    assert source.file is not None  # noqa: S101  # the document's rule: exactly one kind of source
    intake = Intake()
    columns = source.file.map
    origin = columns.origin if columns is not None else None
    for file in files:
        layout: Layout | None = None
        number = 0
        for number, row in read_rows(file.path, file.place):
            if intake.read % _STOP_EVERY == 0:
                check_stop()
            intake.read += 1
            try:
                if layout is None:
                    layout = layout_of(row, *_told(source.file, file))
                content = layout.parse(row)
                gauge.check(content)
                spill.add(content, source=index, name=source.name, use=source.use, origin=_origin(row, origin))
            except UnusableError as error:
                intake.dropped[error.reason] += 1
            except RefusedError as error:
                raise file.place.fault(error.reason, str(error), **{counted_by(file.path, file.place): number}) from error
        if number == 0:
            raise file.place.fault("EmptyFile", "the file has no records; give a file with records, or remove the source")
    return intake


def _told(source: FileSource, file: SourceFile) -> tuple[FileFormat, Mapping[str, str]]:
    """What is known of a file's format and columns: by the source itself, or else by a description beside the file."""
    mapped = mapped_parts(source.map)
    if file.described is None or mapped or source.format != "Auto":
        return source.format, mapped
    return file.described.format, file.described.columns


def _origin(row: Row, column: str | None) -> str | None:
    """The cell that decides the split; a row without one falls back to its prompt."""
    if column is None:
        return None
    if column not in row:
        raise RefusedError("MissingColumn", f"the row has no column {column!r}, which map.origin names; give every row one")
    return text_of(row[column]) or None
