"""A worker that was given GPUs and cannot use them ends at once, with what PyTorch says of it."""

from __future__ import annotations

import pytest
import torch

from autollm.contract.exit_codes import ExitCode
from autollm_runtime.worker.ending import ending_of
from autollm_runtime.worker.gpus import check_gpus
from autollm_runtime.worker.ranks import SINGLE, Rank

TOO_OLD = "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver."
MORE_THAN_ANY_MACHINE_HAS = "1000"


def refused(environ: dict[str, str], rank: Rank = SINGLE) -> str:
    with pytest.raises(Exception, match="GPU") as caught:
        check_gpus(environ, rank)
    ending = ending_of(caught.value)
    assert (ending.code, ending.reason) == (ExitCode.TEMPORARY, "NoGpu")
    return ending.message


def devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A machine with so many GPUs that can be used."""
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_gpus_that_are_not_there() -> None:
    message = refused({"AUTOLLM_GPUS": MORE_THAN_ANY_MACHINE_HAS})
    assert f"PyTorch {torch.__version__} can use {torch.cuda.device_count()}" in message
    assert "workers.runtimeClassName" in message


@pytest.mark.parametrize("error", [RuntimeError(TOO_OLD), AssertionError("Torch not compiled with CUDA enabled")])
def test_the_message_has_what_pytorch_says(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "init", init)
    message = refused({"AUTOLLM_GPUS": "1"})
    assert f"can use 0: {str(error).rstrip('.')}. See that" in message


def test_fewer_than_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    devices(monkeypatch, 1)
    assert "given 2" in refused({"AUTOLLM_GPUS": "2"})
    check_gpus({"AUTOLLM_GPUS": "1"}, SINGLE)


def test_of_several_processes_each_needs_the_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    devices(monkeypatch, 1)
    check_gpus({"AUTOLLM_GPUS": "8"}, Rank(number=9, size=16, local=1))
    devices(monkeypatch, 0)
    assert "given 1" in refused({"AUTOLLM_GPUS": "8"}, Rank(number=9, size=16, local=1))


def test_without_gpus_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    devices(monkeypatch, 0)
    check_gpus({}, SINGLE)
    check_gpus({}, Rank(number=1, size=2, local=1))
