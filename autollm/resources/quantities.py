"""Kubernetes quantities: how much of a resource the pods of a task may use."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from autollm.resources import patterns
from autollm.resources.model import Model

_QUANTITY = re.compile(patterns.QUANTITY)
_LARGEST = 999_999_999
_FACTORS = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip

NATIVE = ("cpu", "memory", "ephemeral-storage")
"""The resources that every node has; all others, such as nvidia.com/gpu, come from device plugins and are counted in whole devices."""


def is_gpu(resource: str) -> bool:
    """Say whether an extended resource is a GPU or a part of one, as the plugins of nvidia.com, amd.com and gpu.intel.com call them."""
    domain, _, name = resource.partition("/")
    return name in ("gpu", "gpu.shared") or name.startswith("mig-") or domain == "gpu.intel.com"


def parse_quantity(quantity: str | int) -> Decimal:
    """Return what a quantity such as `16Gi`, `500m` or `4` comes to, in bytes or units; raises ValueError for other forms."""
    text = str(quantity)
    if not _QUANTITY.fullmatch(text):
        raise ValueError(f"{text!r} is not a quantity: write a number with a unit, such as 16Gi or 500m")
    number = text.rstrip("mkKMGTi")
    return Decimal(number) * _FACTORS[text[len(number) :]]


def _check_quantity(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is not a quantity: write a whole number, or one with a unit, such as 16Gi or 500m")
    if isinstance(value, int) and not 0 <= value <= _LARGEST:
        raise ValueError(f"{value} must be between 0 and {_LARGEST}")
    parse_quantity(value)
    return value


Quantity = Annotated[
    str | int,
    BeforeValidator(_check_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": patterns.QUANTITY, "maxLength": 16, "minimum": 0, "maximum": _LARGEST}),
]
"""How much of a resource: a whole number, or a number with a unit as text."""


def _keyed(rule: str, message: str) -> dict[str, Any]:
    # A structural schema says nothing about the keys of a map.
    return {"x-kubernetes-map-type": "atomic", "x-kubernetes-validations": [{"rule": rule, "message": message}]}


_NATIVE = f"k in [{', '.join(repr(name) for name in NATIVE)}]"
_REQUESTS = _keyed(
    f"self.all(k, {_NATIVE})", f"requests are of {', '.join(NATIVE)}; of a device, such as nvidia.com/gpu, the limit alone is given"
)
_LIMITS = _keyed(
    f"self.all(k, {_NATIVE} || (k.size() <= 120 && k.matches('{patterns.DEVICE}') && !k.contains('kubernetes.io/') && "
    "!k.startsWith('requests.')))",
    f"limits are of {', '.join(NATIVE)}, or of a device with its maker's domain, such as nvidia.com/gpu",
)


class Resources(Model):
    """What the one container of a pod asks for and may use."""

    requests: Annotated[dict[str, Quantity], Field(max_length=3, json_schema_extra=_REQUESTS)] | None = Field(
        None, description="cpu, memory and ephemeral-storage that a node must have free; absent: what the limits say."
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=16, json_schema_extra=_LIMITS)] | None = Field(
        None, description="The most of cpu, memory, ephemeral-storage, and the number of devices, such as nvidia.com/gpu: 2."
    )

    @property
    def gpus(self) -> int:
        """How many whole GPUs a pod has, by the names under which device plugins offer them."""
        return sum(int(parse_quantity(much)) for name, much in (self.limits or {}).items() if name.endswith("/gpu"))

    @property
    def has_gpu(self) -> bool:
        """Whether a pod has a GPU at all, be it a part of one."""
        return any(is_gpu(name) and parse_quantity(much) > 0 for name, much in (self.limits or {}).items())


def contradiction(resources: Resources) -> str | None:
    """Return what no schema can see and Kubernetes refuses, as the end of a sentence that begins with the section's name."""
    requests, limits = resources.requests or {}, resources.limits or {}
    for name, most in limits.items():
        amount = parse_quantity(most)
        if name not in NATIVE and amount != amount.to_integral_value():
            return f"limits[{name}] is {most}, but devices are counted: write a whole number."
        if name in requests and parse_quantity(requests[name]) > amount:
            return f"requests[{name}] is {requests[name]}, more than the limit of {most}: raise the limit or lower the request."
    return None
