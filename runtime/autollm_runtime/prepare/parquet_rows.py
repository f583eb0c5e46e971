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

_BATCH = 1024
_BATCH_BYTES = 2**30
_FREE_VALUES = 1_000_000
_VALUES_A_ROW = 10_000


def parquet_rows(path: Path, place: Place) -> Iterator[tuple[int, Row]]:
    """Yield the rows, numbered from 1; raises InputError (DamagedParquet, ExpandsTooFar, LineTooLong)."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            rows_at_once = _rows_at_once(table.metadata, path.stat().st_size, place)
            for batch in table.iter_batches(batch_size=rows_at_once, use_threads=False):
                if batch.nbytes > MAX_LINE:
                    _check_rows(batch, place, number)
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        cause = str(error).splitlines()[0]
        raise place.fault("DamagedParquet", f"the Parquet file cannot be read ({cause}); write it again", row=number + 1) from error


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
        largest = max(largest, sum(column.total_uncompressed_size for column in columns if column.has_dictionary_page))
    return min(_BATCH, max(1, _BATCH_BYTES // largest))


def _check_rows(batch: Any, place: Place, before: int) -> None:
    for index in range(batch.num_rows):
        if batch.slice(index, 1).nbytes > MAX_LINE:
            raise place.fault("LineTooLong", f"the row is longer than {MAX_LINE // 2**20} MiB; split it", row=before + index + 1)
