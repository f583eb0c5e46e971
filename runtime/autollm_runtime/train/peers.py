"""Several processes, each on its own device, that train one delta together.

Every step is shared out among them. Each adds up the gradients of its part; then they are added over all processes, so that every
one takes the same optimiser step: the batch, the loss and, but for rounding, the delta are those of a single process. Before gradients
are added all agree on how the step went. So a process that runs out of memory, meets bad data or is asked to stop takes the others
along, and nobody waits for one that will not come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, distributed

from autollm.errors import OutageError, TemporaryError
from autollm_runtime.worker.ending import is_out_of_memory
from autollm_runtime.worker.ranks import Rank

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_PATIENCE = timedelta(hours=2)
"""How long processes wait for one that fetches a model or keeps a checkpoint meanwhile. One that has died is noticed at once."""

_TOLD = "told_to_peers"

_BUCKET = 1 << 24
"""Gradients travel in pieces of so many numbers, which are 64 MiB."""


class PeerError(TemporaryError):
    """Another process of the same training failed; that one says why."""

    reason = "PeerFailed"


class PeerOutageError(PeerError, OutageError):
    """Another process met a server that does not answer; that one says which."""


@dataclass(frozen=True)
class Total:
    """What all processes come to together: the sum of their values, and whether any was asked to stop."""

    value: float
    stop: bool


class Peers(Protocol):
    """The processes of one training, seen from one of them."""

    rank: Rank

    def together(self, part: Callable[[], float], stop: Callable[[], bool] = lambda: False) -> Total:
        """Do one's part and return the total, when all have done theirs.

        Raises one's own error, else RuntimeError (out of memory) where another process had no memory, else PeerError where it failed.
        """
        ...

    def tell(self, error: BaseException) -> None:
        """Tell the others of an error outside `together`, unless they know it; to be called before it is raised on."""
        ...

    def from_leader(self, make: Callable[[], _T]) -> _T:
        """Return what the leading process makes."""
        ...

    def share(self, parameters: Iterable[Tensor]) -> None:
        """Give all processes the leader's values."""
        ...

    def make_room(self, parameters: Iterable[Tensor]) -> None:
        """Take the memory that adding gradients needs."""
        ...

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of trained parameters over all processes, in place."""
        ...


class Alone:
    """A single process."""

    rank = Rank()

    def together(self, part: Callable[[], float], stop: Callable[[], bool] = lambda: False) -> Total:
        """Do it all."""
        return Total(part(), stop())

    def tell(self, error: BaseException) -> None:
        """There is nobody to tell."""

    def from_leader(self, make: Callable[[], _T]) -> _T:
        """Make it."""
        return make()

    def share(self, parameters: Iterable[Tensor]) -> None:
        """They are the leader's."""

    def make_room(self, parameters: Iterable[Tensor]) -> None:
        """None is needed."""

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """They are whole."""


class Group:
    """Processes that torchrun started: they agree over Gloo, and add gradients over NCCL where they have GPUs."""

    def __init__(self, rank: Rank, device: torch.device) -> None:
        """Meet the others; raises PeerError where they do not come."""
        self.rank = rank
        self._bucket: Tensor | None = None
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if not distributed.is_initialized():
            self._call(
                lambda: distributed.init_process_group(
                    backend, init_method="env://", rank=rank.number, world_size=rank.size, timeout=_PATIENCE
                )
            )
            _log.info("all processes of the training have met", extra={"rank": rank.number, "processes": rank.size})

    def together(self, part: Callable[[], float], stop: Callable[[], bool] = lambda: False) -> Total:
        """Do one's part and exchange how it went."""
        value = 0.0
        failure: Exception | None = None
        try:
            value = part()
        except Exception as error:
            failure = error
        total = self._exchange(value, stop(), failure)
        if failure is not None:
            raise failure
        return total

    def tell(self, error: BaseException) -> None:
        """Take part in the exchange that the others wait in."""
        if not getattr(error, _TOLD, False) and not isinstance(error, PeerError):
            try:
                self._exchange(0.0, False, error)
            except PeerError:
                return  # they are gone, or failed themselves

    def from_leader(self, make: Callable[[], _T]) -> _T:
        """Let the leader make it, then hand it round."""
        made: list[Any] = [None]

        def lead() -> float:
            if self.rank.leads:
                made[0] = make()
            return 0.0

        self.together(lead)
        self._call(lambda: distributed.broadcast_object_list(made, src=0, device=torch.device("cpu")))
        handed: _T = made[0]
        return handed

    def share(self, parameters: Iterable[Tensor]) -> None:
        """Send the leader's values to all."""
        for parameter in parameters:
            tensor = parameter.detach()
            self._call(lambda tensor=tensor: distributed.broadcast(tensor, src=0))  # type: ignore[misc]  # mypy and defaults of lambdas

    def make_room(self, parameters: Iterable[Tensor]) -> None:
        """Give every trained parameter a gradient, and take the bucket: afterwards nothing can lack memory between two processes' steps."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if self._bucket is None or self._bucket.device != parameter.device:
                self._bucket = torch.empty(_BUCKET, dtype=torch.float32, device=parameter.device)

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add them up in fp32, bucket by bucket."""
        assert self._bucket is not None  # noqa: S101  # make_room comes first
        pieces: list[Tensor] = []
        filled = 0
        for parameter in parameters:
            assert parameter.grad is not None  # noqa: S101  # make_room has seen to it
            for piece in torch.split(parameter.grad.view(-1), _BUCKET):
                if filled + piece.numel() > _BUCKET:
                    self._add(pieces)
                    pieces, filled = [], 0
                pieces.append(piece)
                filled += piece.numel()
        if pieces:
            self._add(pieces)

    def _add(self, pieces: list[Tensor]) -> None:
        assert self._bucket is not None  # noqa: S101  # make_room comes first
        sizes = [piece.numel() for piece in pieces]
        bucket = self._bucket[: sum(sizes)]
        for place, piece in zip(torch.split(bucket, sizes), pieces, strict=True):
            place.copy_(piece)
        self._call(lambda: distributed.all_reduce(bucket))
        for place, piece in zip(torch.split(bucket, sizes), pieces, strict=True):
            piece.copy_(place)

    def _exchange(self, value: float, stop: bool, failure: BaseException | None) -> Total:
        short = failure is not None and is_out_of_memory(failure)
        if failure is not None:
            # A mark and no reference: what the error holds on to, a batch's activations, has to go before the next attempt.
            setattr(failure, _TOLD, True)
        failed = failure is not None and not short
        told = torch.tensor([value, stop, short, failed, isinstance(failure, OutageError)], dtype=torch.float64)
        self._call(lambda: distributed.all_reduce(told))
        total, stops, shorts, failures, outages = told.tolist()
        if failure is None and failures and failures == outages:
            raise PeerOutageError("a server did not answer another process of this training: its log and its ending say which")
        if failure is None and failures:
            raise PeerError("another process of this training failed: its log and its ending say why")
        if failure is None and shorts:
            short_of_memory = RuntimeError("another process of this training is out of memory")
            setattr(short_of_memory, _TOLD, True)
            raise short_of_memory
        return Total(total, bool(stops))

    def _call(self, collective: Callable[[], object]) -> None:
        try:
            collective()
        except RuntimeError as error:
            # Gloo and NCCL say so by plain RuntimeErrors, of many texts.
            raise PeerError(
                "another process of this training is gone or does not answer: it was killed, or the network between the nodes broke"
            ) from error


def join_peers(rank: Rank, device: torch.device) -> Peers:
    """Return the processes that train with this one."""
    return Alone() if rank.size == 1 else Group(rank, device)


def first_on_node(peers: Peers, work: Callable[[], _T]) -> _T:
    """Return what `work` returns, done by the first process of every node before the others, which then find files fetched already."""
    done: list[_T] = []

    def do() -> float:
        done.append(work())
        return 0.0

    first = peers.rank.local == 0
    for mine in (first, not first):
        peers.together(do if mine else lambda: 0.0)
    return done[0]
