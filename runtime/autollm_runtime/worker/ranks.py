"""Which of several processes this one is, as torchrun tells it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

from autollm.errors import DocumentError

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Rank:
    """A process among `size` that train together; `local` is its number on its node. The first of all leads."""

    number: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all: it alone reports, publishes, and keeps checkpoints."""
        return self.number == 0


SINGLE = Rank()
"""A process alone."""


def take_rank(environ: MutableMapping[str, str]) -> Rank:
    """Return this process's rank, and leave it the GPU of its own; to be called before PyTorch is imported.

    What torchrun said is taken out of the environment: the trainer below is one for a single process, and would otherwise start a
    second way of doing what is done here. Raises DocumentError where torchrun's variables contradict each other.
    """
    if "WORLD_SIZE" not in environ:
        return SINGLE
    try:
        number, size, local, _ = (int(environ.pop(name)) for name in _TOLD)
    except (KeyError, ValueError) as error:
        raise DocumentError(f"torchrun's variables {', '.join(_TOLD)} must be whole numbers, all of them set: {error}") from error
    if not 0 <= number < size:
        raise DocumentError(f"RANK is {number} and WORLD_SIZE {size}: a rank is counted from 0 and below the size")
    devices = [device for device in environ.get(_DEVICES, "").split(",") if device]
    if devices and local >= len(devices):
        raise DocumentError(f"{_DEVICES} names {len(devices)} devices, too few for LOCAL_RANK {local}: start as many processes as GPUs")
    environ[_DEVICES] = devices[local] if devices else str(local)
    return Rank(number, size, local)
