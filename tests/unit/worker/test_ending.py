from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from autollm.errors import InputError, IntegrityError, Interrupted, OutOfMemoryError, TemporaryError
from autollm.store import StoreUnavailableError
from autollm_runtime.worker.ending import ending_of, is_device_lost, write_termination


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InputError("no chat template", reason="NoChatTemplate"), 42, "NoChatTemplate"),
        (IntegrityError("a flipped byte"), 42, "DigestMismatch"),
        (OutOfMemoryError("even one record"), 43, "OutOfMemory"),
        (MemoryError(), 43, "OutOfMemory"),
        (TemporaryError("no answer"), 75, "Temporary"),
        (StoreUnavailableError("no answer"), 69, "StoreUnavailable"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 75, "DiskFull"),
        (OSError(errno.EFBIG, "File too large", "/x"), 75, "DiskFull"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), 75, "DiskFull"),
        (SafetensorError("header too large"), 1, "InternalError"),
        (ConnectionResetError("reset"), 75, "Unreachable"),
        (TimeoutError("slow"), 75, "Unreachable"),
        (Interrupted("asked to"), 143, "Interrupted"),
        (ZeroDivisionError("1/0"), 1, "InternalError"),
        (FileNotFoundError(errno.ENOENT, "No such file"), 1, "InternalError"),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int, reason: str) -> None:
    ending = ending_of(error)
    assert (int(ending.code), ending.reason, ending.unexpected) == (code, reason, code == 1)
    assert ending.message


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("HIP error: unspecified launch failure"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("CUDA error: "), False),
    ],
)
def test_what_an_accelerator_does_not_recover_from(error: Exception, lost: bool) -> None:
    assert is_device_lost(error) == lost


@given(st.text(max_size=50), st.integers(0, 3000), st.sampled_from(["x", "ü", "漢", "😀", '"', "\n", "\udc80"]))
def test_the_termination_file_is_whole_json_of_at_most_4096_bytes(
    tmp_path_factory: pytest.TempPathFactory, text: str, times: int, letter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "termination.json"
    message = text + letter * times
    write_termination(path, "InvalidInput", message)
    data = path.read_bytes()
    found = json.loads(data)
    assert len(data) <= 4096
    assert found["reason"] == "InvalidInput"
    if found["message"] != message:
        assert message.startswith(found["message"].removesuffix("…"))
        assert len(data) > 4096 - 16


def test_the_termination_file_is_written_in_place(tmp_path: Path) -> None:
    """Kubernetes mounts it: another file of its name would not be read."""
    path = tmp_path / "termination"
    path.write_text("an earlier, longer end " * 100)
    inode = path.stat().st_ino
    write_termination(path, "Completed", "")
    assert path.stat().st_ino == inode
    assert json.loads(path.read_bytes()) == {"reason": "Completed", "message": ""}
