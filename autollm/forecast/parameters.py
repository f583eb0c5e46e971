"""How many numbers a model has, as far as that can be told without fetching it."""

from __future__ import annotations

import json
import re
from math import prod

from autollm.errors import AutoLLMError, DocumentError
from autollm.resources.run import Artifacts, BaseModelSpec
from autollm.store import Store, open_location
from autollm.store.objects import objects_at

_LARGEST_HEADER = 100_000_000
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def read_count(text: str) -> int:
    """Return what is meant by `135M`, `8B` or `1300000`; raises DocumentError for other forms."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMBT]?)", text.upper())
    if found is None or float(found[1]) == 0:
        raise DocumentError(f"--parameters {text}: write a number such as 135M or 8B")
    return round(float(found[1]) * _FACTORS[found[2]])


def count_parameters(model: BaseModelSpec, artifacts: Artifacts) -> int | None:
    """Return what the headers of a model's safetensors say, those of the Hub as it tells them; None where that is out of reach."""
    try:
        if model.uri.startswith("hf://"):
            return _on_the_hub(model)
        store, key = open_location(model.uri, endpoint=artifacts.endpoint, region=artifacts.region)
        files = [one for one in objects_at(store, key.removesuffix("/")) if one.endswith(".safetensors")]
        return sum(_in_file(store, one) for one in files) or None
    except (AutoLLMError, OSError, ValueError):
        return None


def _in_file(store: Store, key: str) -> int:
    with store.open(key) as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(length, _LARGEST_HEADER)))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _on_the_hub(model: BaseModelSpec) -> int | None:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    from autollm.store.hub import parse_hub_uri

    repo = parse_hub_uri(model.uri, model.revision)
    try:
        told = HfApi().model_info(repo.name, revision=repo.revision, timeout=10).safetensors
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.TransportError):
        return None
    return told.total if told is not None else None
