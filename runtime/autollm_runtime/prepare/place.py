"""Where in the data something is, so that every message names source, file and row."""

from __future__ import annotations

from dataclasses import dataclass

from autollm.errors import InputError


class UnusableError(Exception):
    """One record cannot be used: it is dropped, and counted under `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RefusedError(Exception):
    """One row shows that the whole file is not what it seems: the file is refused."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Place:
    """A file of a source, as the user named it."""

    source: str
    uri: str

    def fault(self, reason: str, message: str, *, line: int | None = None, row: int | None = None) -> InputError:
        """Return the error that refuses the file; lines and rows count from 1."""
        position = f", line {line}" if line is not None else f", row {row}" if row is not None else ""
        return InputError(f"source {self.source}, file {self.uri}{position}: {message}", reason=reason)
