"""The base model of a run: where workers load it from, its digest, and the number format it is used in."""

from __future__ import annotations

import json
from pathlib import Path

from autollm.resources.facts import ModelFact
from autollm.resources.run import BaseModelSpec
from autollm.store import Store
from autollm.store.hub import commit, parse_hub_uri
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.folder import CONFIG, inspect_folder
from autollm_runtime.model.gguf import converted
from autollm_runtime.model.loading import check_architecture, check_finite, load_tokenizer
from autollm_runtime.model.number_format import number_format


def resolve_base(spec: BaseModelSpec, store: Store, scratch: Path, *, last: ModelFact | None = None, on_gpus: bool = False) -> ModelFact:
    """Find, check and digest the model a run starts from.

    A folder in safetensors is used where it lies; a GGUF file is converted into the artifacts once. `last` is what the run was
    prepared with before, and `on_gpus` says that pods with GPUs train or score: see `number_format`. Raises InputError naming the
    path and the remedy where the model is missing, incomplete, pickled, quantised, not finite, without tokenizer
    or of an architecture that transformers does not have.
    """
    path = fetch_location(spec.uri, spec.revision, store, scratch)
    if path.suffix == ".gguf" and path.is_file():
        copy = converted(path, store, scratch)
        uri, revision = f"{store.uri}/{copy.prefix.removesuffix('/')}", None
        digest, parameters = copy.digest, copy.parameters
    else:
        folder = inspect_folder(path, spec.uri)
        check_architecture(json.loads((path / CONFIG).read_bytes()), spec.uri)
        load_tokenizer(path)
        check_finite(folder, spec.uri)
        uri, revision = _pinned(spec, path)
        digest, parameters = folder.digest(), folder.parameters
    dtype = spec.dtype or number_format(digest, store, last=last, on_gpus=on_gpus)
    return ModelFact(uri=uri, digest=digest, dtype=dtype, revision=revision, parameters=parameters)


def _pinned(spec: BaseModelSpec, path: Path) -> tuple[str, str | None]:
    """The location that means the same in every worker: a path from the root, a branch or tag by its commit."""
    if spec.uri.startswith("hf://"):
        return f"hf://{parse_hub_uri(spec.uri, spec.revision).name}", commit(path)
    return (spec.uri if "://" in spec.uri else path.absolute().as_uri()), None
