"""What a container asks for and may use."""

from __future__ import annotations

from typing import Any

from autollm.resources.quantities import Resources, parse_quantity


def container_resources(resources: Resources) -> dict[str, Any]:
    """Return them as Kubernetes spells them; quantities are text, as clients expect."""
    written = {"requests": resources.requests, "limits": resources.limits}
    return {kind: {name: str(much) for name, much in amounts.items()} for kind, amounts in written.items() if amounts}


def usable_gpus(resources: Resources) -> int:
    """Return how many GPUs the programs in a container must be able to use: each whole one; of parts, one, as CUDA shows no more."""
    return resources.gpus or int(resources.has_gpu)


def threads(resources: Resources) -> int | None:
    """Return how many threads a worker may compute with: one for each core of its limit, None where it has none.

    Without being told, a worker sees all cores of the node, and its threads then wait for one another's share.
    """
    limit = (resources.limits or {}).get("cpu")
    return None if limit is None else max(1, int(parse_quantity(limit)))
