"""Imports that take seconds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def much_is_imported() -> Iterator[None]:
    """Look for no garbage meanwhile: nothing that is imported becomes any, and looking again and again takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
