"""The merge in memory: a live model whose weights are written anew, from the pristine base, for every candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from autollm.errors import InputError
from autollm_runtime.delta.values import Delta
from autollm_runtime.merge.arithmetic import Sum, check_weights, collect, scratch_for, write_sum
from autollm_runtime.merge.threads import side_by_side
from autollm_runtime.merge.tied import change_once, tied_names

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Slot:
    """One parameter of the model that some delta changes, with its pristine values in the precision of the base."""

    name: str
    live: Tensor
    pristine: Tensor
    changes: Sum
    bound: float


class ResidentMerge:
    """Writes W = round(W₀ + Σ weight · Δ) into a model, as often as asked, always from the pristine base.

    Only parameters that a delta changes are copied or written; buffers and everything else stay as they are. Tied
    parameters are one parameter. Nobody else may write to the model's parameters meanwhile.

    Args:
        model: The base, loaded in the number format that is to be scored; its parameters are the pristine values, unless
            `stored` has them.
        deltas: Every delta that weights may name.
        stored: Parameters in the precision in which the base is stored, by name, where the model was rounded when it was
            loaded: rounding twice is not rounding once.

    Raises:
        InputError: A delta changes a parameter that the model lacks or whose shape differs, only one of two tied
            parameters (reason NotTied), or holds a value that is not finite (reason NonFinite).
    """

    def __init__(self, model: nn.Module, deltas: Sequence[Delta], stored: Mapping[str, Tensor] | None = None) -> None:
        self._names = sorted(delta.name for delta in deltas)
        if len(set(self._names)) < len(self._names):
            raise InputError(f"two deltas have the same name; the names are {', '.join(self._names)}")
        owners = tied_names(model)
        deltas = [change_once(delta, owners) for delta in deltas]
        live = dict(model.named_parameters())
        exact = {owners.get(name, name): value for name, value in (stored or {}).items()}
        self._slots = [_make_slot(name, live[name], deltas, exact) for name in sorted(_changed(live, deltas))]
        self._scratch: SimpleQueue[Tensor] = SimpleQueue()
        for _ in range(torch.get_num_threads()):
            self._scratch.put(scratch_for((tuple(slot.live.shape) for slot in self._slots), _CPU))
        self._written: dict[str, tuple[tuple[str, float], ...]] = {}

    @torch.no_grad()
    def apply(self, weights: Mapping[str, float]) -> None:
        """Write the merged weights into the model; a delta that is not named has weight 0.

        Raises:
            InputError: A weight names no delta, or the sum is not finite in the model's number format (reason NonFinite);
                the model is then unusable until the next call.
        """
        check_weights(weights, self._names)
        stale = [(slot, active) for slot in self._slots if self._written.get(slot.name) != (active := slot.changes.active(weights))]
        here = [entry for entry in stale if entry[0].live.device.type == "cpu"]
        if here:
            with side_by_side(self._scratch.qsize()) as pool:
                for _ in pool.map(lambda entry: self._write(*entry), here):
                    pass
        for slot, active in stale:
            if slot.live.device.type != "cpu":
                self._write(slot, active)

    def _write(self, slot: _Slot, active: tuple[tuple[str, float], ...]) -> None:
        self._written.pop(slot.name, None)
        on_cpu = slot.live.device.type == "cpu"
        scratch = self._scratch.get() if on_cpu else scratch_for([tuple(slot.live.shape)], slot.live.device)
        try:
            write_sum(slot.pristine, slot.changes, dict(active), slot.live, scratch)
        finally:
            if on_cpu:
                self._scratch.put(scratch)
        self._check_finite(slot, active)
        self._written[slot.name] = active

    def _check_finite(self, slot: _Slot, active: tuple[tuple[str, float], ...]) -> None:
        """Look at the values only where their known bounds do not prove already that they are finite."""
        bound = slot.bound + sum(abs(weight) * slot.changes.bounds[name] for name, weight in active)
        if bound < torch.finfo(slot.live.dtype).max / 2 or bool(torch.isfinite(slot.live).all()):
            return
        listed = ", ".join(f"{name}={weight:g}" for name, weight in active) or "no delta"
        raise InputError(
            f"the merged parameter {slot.name} has values that are not finite in {slot.live.dtype} ({listed}); "
            "bound the weights more narrowly, or look at these deltas",
            reason="NonFinite",
        )


def _changed(live: Mapping[str, Tensor], deltas: Sequence[Delta]) -> set[str]:
    """Return the names of all parameters that some delta changes, each checked against the model."""
    for delta in deltas:
        for name, shape in delta.shapes.items():
            if name not in live:
                raise InputError(f"delta {delta.name!r} changes {name}, which this model does not have; it was made from another base")
            if shape != tuple(live[name].shape):
                raise InputError(
                    f"delta {delta.name!r} changes {name} as {list(shape)}, but the model has {list(live[name].shape)}; "
                    "it was made from another base"
                )
    return {name for delta in deltas for name in delta.shapes}


def _make_slot(name: str, live: Tensor, deltas: Sequence[Delta], stored: Mapping[str, Tensor]) -> _Slot:
    changes = collect(name, deltas, live.device)
    for delta, bound in changes.bounds.items():
        if not math.isfinite(bound):
            raise InputError(f"delta {delta!r} has a value in {name} that is not finite", reason="NonFinite")
    pristine = stored[name].to(live.device) if name in stored else live.detach().clone()
    bound = float(pristine.abs().max()) if pristine.numel() else 0.0
    return _Slot(name, live.detach(), pristine, changes, bound)
