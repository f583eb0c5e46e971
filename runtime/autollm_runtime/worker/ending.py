"""How a worker ends: an exit code that says whether trying again can help, and a reason and a sentence for the user."""

from __future__ import annotations

import errno
import json
import re
import sys
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from autollm.contract.exit_codes import ExitCode
from autollm.contract.termination import MESSAGE, REASON, TERMINATION_BYTES, TRIAL
from autollm.errors import AutoLLMError, InputError, Interrupted, OutageError, OutOfMemoryError, TemporaryError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DEVICE_LOST = ("cuda error: ", "hip error: ")
_OUT_OF_MEMORY = ("defaultcpuallocator: can't allocate memory", "out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")


@dataclass(frozen=True)
class Ending:
    """The exit code of a worker and what it leaves in its termination file."""

    code: ExitCode
    reason: str
    message: str

    @property
    def unexpected(self) -> bool:
        """Whether this is a defect, whose traceback belongs in the log."""
        return self.code is ExitCode.FAILED


def ending_of(error: BaseException) -> Ending:
    """Return how a worker ends that was left by an exception."""
    match error:
        case InputError():
            return _of(ExitCode.BAD_INPUT, error)
        case OutOfMemoryError():
            return _of(ExitCode.OUT_OF_GPU_MEMORY, error)
        case OutageError():
            return _of(ExitCode.UNAVAILABLE, error)
        case TemporaryError():
            return _of(ExitCode.TEMPORARY, error)
        case Interrupted():
            return _of(ExitCode.STOPPED, error)
        case AutoLLMError():
            return _of(ExitCode.FAILED, error)
        case OSError() if error.errno in _NO_SPACE:
            return Ending(ExitCode.TEMPORARY, "DiskFull", f"no space is left to write {error.filename or 'a file'}: free some, then go on")
        case _ if _tells_no_space(error):
            return Ending(ExitCode.TEMPORARY, "DiskFull", f"no space is left to write tensors ({error}): free some, then go on")
        case ConnectionError() | TimeoutError():
            return Ending(ExitCode.TEMPORARY, "Unreachable", f"something outside did not answer: {error}")
        case _ if is_out_of_memory(error):
            message = f"the memory does not suffice even for the smallest batch: {error}"
            return Ending(ExitCode.OUT_OF_GPU_MEMORY, OutOfMemoryError.reason, message)
        case _:
            return Ending(ExitCode.FAILED, "InternalError", f"{type(error).__name__}: {error}; the log has the traceback")


def _tells_no_space(error: BaseException) -> bool:
    """Tell whether safetensors, whose errors are no OSError, could not write for want of space."""
    told = re.search(r"os error ([0-9]+)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return told is not None and int(told[1]) in _NO_SPACE


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an allocation failed, on an accelerator or on this machine, without importing PyTorch.

    Libraries below PyTorch, and its backends other than CUDA, say so by the text of a plain RuntimeError alone.
    """
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _OUT_OF_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Tell whether a computation ended so that the accelerator does nothing more for this process: each later one would fail like it."""
    told = str(error).lower()
    return isinstance(error, RuntimeError) and told.startswith(_DEVICE_LOST) and not is_out_of_memory(error)


def write_termination(path: Path, reason: str, message: str, trial: str = "") -> None:
    """Write the termination file, in place because Kubernetes mounts it, the message cut so that the whole fits 4096 bytes.

    `trial` is the name of the trial that was being scored, if one was.
    """

    def encoded(message: str) -> bytes:
        document = {REASON: reason, MESSAGE: message} | ({TRIAL: trial} if trial else {})
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")

    if len(encoded(message)) > TERMINATION_BYTES:
        too_long = bisect_right(range(len(message)), TERMINATION_BYTES, key=lambda length: len(encoded(message[:length] + "…")))
        message = message[: too_long - 1] + "…"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(message))


def _of(code: ExitCode, error: AutoLLMError) -> Ending:
    return Ending(code, error.reason, str(error))
