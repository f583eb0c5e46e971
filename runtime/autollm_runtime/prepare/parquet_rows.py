"""Rows of a Parquet file, batch by batch, within bounds: a file of a kilobyte can stand for gigabytes.

Equal values are stored once, and lists by their lengths, so neither the file's size nor what it unpacks to says how large its rows
are. Its table of contents says how much one value can be at most, and a batch has no more rows than fit the memory even then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autollm_runtime.prepare.container import FREE_EXPANSION, MAX_EXPANSION
from autollm_runtime.prepare.lines import MAX_LINE, Row
from autollm_runtime.prepare.place import Place
from autollm_runtime.prepare.unpacked import unpacked_bytes

_BATCH = 1024
_BATCH_BYTES = 2**30
_FREE_VALUES = 1_000_000
_VALUES_A_ROW = 10_000
_KEPT_ONCE = frozenset({"PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "RLE", "BIT_PACKED"})
"""What Arrow can read without unpacking a value for each time it is used."""


def parquet_rows(path: Path, place: Place) -> Iterator[tuple[int, Row]]:
    """Yield the rows, numbered from 1; raises InputError (DamagedParquet, ExpandsTooFar, LineTooLong)."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        metadata = pyarrow.parquet.read_metadata(path)
        rows_at_once = _rows_at_once(metadata, path.stat().st_size, place)
        with pyarrow.parquet.ParquetFile(path, read_dictionary=_texts_in_lists(metadata)) as table:
            # Group by group: of a list that goes on in the next one, Arrow cannot put two dictionaries together.
            for group in range(metadata.num_row_groups):
                for batch in table.iter_batches(batch_size=rows_at_once, row_groups=[group], use_threads=False):
                    for portion in _portions(batch, place, number):
                        for row in portion.to_pylist():
                            number += 1
                            yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        cause = str(error).splitlines()[0]
        raise place.fault("DamagedParquet", f"the Parquet file cannot be read ({cause}); write it again", row=number + 1) from error


def _texts_in_lists(metadata: Any) -> list[int]:
    """The columns whose texts are kept once each, as in the file: a row may repeat one as often as its list has entries."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    return [
        number
        for number in range(metadata.num_columns)
        if metadata.schema.column(number).max_repetition_level and all(_can_be_kept_once(group.column(number)) for group in groups)
    ]


def _can_be_kept_once(chunk: Any) -> bool:
    return chunk.physical_type == "BYTE_ARRAY" and _KEPT_ONCE.issuperset(chunk.encodings)


def _rows_at_once(metadata: Any, size: int, place: Place) -> int:
    """The rows of a batch that fits the memory though each of its values were the largest that is stored once."""
    largest = 1
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        columns = [group.column(number) for number in range(group.num_columns)]
        if any(column.num_values > max(_FREE_VALUES, _VALUES_A_ROW * group.num_rows) for column in columns):
            raise place.fault("ExpandsTooFar", f"the Parquet file has lists of more than {_VALUES_A_ROW} entries a row; split them")
        if sum(column.total_uncompressed_size for column in columns) > max(FREE_EXPANSION, MAX_EXPANSION * size):
            message = f"the Parquet file unpacks to more than {MAX_EXPANSION} times its size; write it again without compression"
            raise place.fault("ExpandsTooFar", message)
        for number, column in enumerate(columns):
            _check_lists(metadata.schema.column(number), column, place)
        largest = max(largest, sum(column.total_uncompressed_size for column in columns if _repeats(column)))
    return min(_BATCH, max(1, _BATCH_BYTES // largest))


def _repeats(chunk: Any) -> bool:
    """Whether a value may be stored once, or by what it shares with the one before, and stand in many rows."""
    return bool(chunk.has_dictionary_page) or "DELTA_BYTE_ARRAY" in chunk.encodings


def _check_lists(column: Any, chunk: Any, place: Place) -> None:
    """Refuse lists whose entries Arrow cannot but unpack, where that could take more than the memory of a batch."""
    if not column.max_repetition_level or _can_be_kept_once(chunk) or not _repeats(chunk):
        return
    if chunk.total_uncompressed_size * chunk.num_values > _BATCH_BYTES:
        limit = _BATCH_BYTES // 2**20
        message = f"the lists in the column {column.path!r} may unpack to more than {limit} MiB; write the file again with plain encoding"
        raise place.fault("ExpandsTooFar", message)


def _portions(batch: Any, place: Place, before: int) -> Iterator[Any]:
    """Yield a batch whole where it is small, else row by row, each within the bound of a row."""
    if sum(unpacked_bytes(column) for column in batch.columns) <= MAX_LINE:
        yield batch
        return
    for index in range(batch.num_rows):
        row = batch.slice(index, 1)
        sizes = {name: unpacked_bytes(column) for name, column in zip(batch.schema.names, row.columns, strict=True)}
        if sum(sizes.values()) > MAX_LINE:
            column = max(sizes, key=sizes.__getitem__)
            message = f"the row is longer than {MAX_LINE // 2**20} MiB, most of all in the column {column!r}; split it"
            raise place.fault("LineTooLong", message, row=before + index + 1)
        yield row
