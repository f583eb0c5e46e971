"""A pod that was given GPUs computes on them, or ends and says why it cannot: it does not hold them while a CPU does the work."""

from __future__ import annotations

from collections.abc import Mapping

from autollm.contract.pod import GPUS
from autollm.errors import TemporaryError
from autollm_runtime.worker.ranks import Rank


class NoGpuError(TemporaryError):
    """A GPU that was given cannot be used: here, for one node of many may be at fault."""

    reason = "NoGpu"


def check_gpus(environ: Mapping[str, str], rank: Rank) -> None:
    """Raise NoGpuError where PyTorch can use fewer GPUs than this process was given, with what PyTorch says and the remedy.

    A process alone has all that the pod was given; of several that train together, each sees the one of its own.
    """
    given = int(environ.get(GPUS, "0"))
    own = given if rank.size == 1 else min(given, 1)
    if own == 0:
        return
    import torch

    try:
        # It raises what is_available() and device_count() tell by a warning, and only the first time.
        torch.cuda.init()  # type: ignore[no-untyped-call]  # it has no types
        usable, cause = torch.cuda.device_count(), "it sees no more"
    except (RuntimeError, AssertionError) as error:  # AssertionError: built without support for any GPU
        usable, cause = 0, str(error)
    if usable < own:
        raise NoGpuError(
            f"this worker was given {own} of its node's GPUs, and PyTorch {torch.__version__} can use {usable}: {cause.rstrip('.')}. "
            "See that the node's driver is new enough (for CUDA 13, NVIDIA's 580), that workers.runtimeClassName names the runtime class "
            "by which pods get their GPUs, if the cluster has one, and that the image's PyTorch is built for GPUs of this maker"
        )
