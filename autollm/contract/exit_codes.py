"""The exit codes of a worker, and what each means for trying again."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a worker ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 42
    OUT_OF_GPU_MEMORY = 43
    UNAVAILABLE = 69
    TEMPORARY = 75
    KILLED = 137
    STOPPED = 143


FINAL = frozenset({ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.OUT_OF_GPU_MEMORY})
"""Trying again cannot help."""

FREE = frozenset({ExitCode.STOPPED})
"""The worker was asked to stop: starting it again does not count as a retry."""
