"""How large values are once each stands by itself: what Arrow holds once, and a Python object of every row would hold again."""

from __future__ import annotations

from typing import Any

_OFFSET = 8
"""Bytes by which a list says where its values begin, at most."""


def unpacked_bytes(array: Any) -> int:
    """Return the bytes of an Arrow array's values, each text of a dictionary counted as often as it is used."""
    import pyarrow
    import pyarrow.compute

    kind = array.type
    if isinstance(array, pyarrow.ExtensionArray):
        return unpacked_bytes(array.storage)
    if pyarrow.types.is_struct(kind):
        return sum(unpacked_bytes(part) for part in array.flatten())
    if pyarrow.types.is_nested(kind) and hasattr(array, "flatten"):
        return _OFFSET * len(array) + unpacked_bytes(array.flatten())  # its own `nbytes` has the whole dictionaries of its values
    if not pyarrow.types.is_dictionary(kind):
        return int(array.nbytes)
    lengths = pyarrow.compute.binary_length(array.dictionary).cast(pyarrow.int64())
    return int(array.indices.nbytes) + (pyarrow.compute.sum(lengths.take(array.indices)).as_py() or 0)
