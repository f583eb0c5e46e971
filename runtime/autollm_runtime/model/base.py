"""The base model of a run: where workers load it from, its digest, and the number format it is used in."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from autollm.contract import layout
from autollm.resources.facts import ModelFact
from autollm.resources.run import BaseModelSpec
from autollm.store import PreconditionError, Store
from autollm.store.hub import commit, parse_hub_uri
from autollm_runtime.model.dtypes import DTypeName, choose_device, probe_dtype
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.folder import CONFIG, inspect_folder
from autollm_runtime.model.gguf import converted
from autollm_runtime.model.loading import check_architecture, check_finite, load_tokenizer

_NUMBER_FORMAT = "dtype.json"


def resolve_base(spec: BaseModelSpec, store: Store, scratch: Path) -> ModelFact:
    """Find, check and digest the model a run starts from.

    A folder in safetensors is used where it lies; a GGUF file is converted into the artifacts once. Raises InputError
    naming the path and the remedy where the model is missing, incomplete, pickled, quantised, not finite, without tokenizer
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
    return ModelFact(uri=uri, digest=digest, dtype=spec.dtype or _number_format(digest, store), revision=revision, parameters=parameters)


def _pinned(spec: BaseModelSpec, path: Path) -> tuple[str, str | None]:
    """The location that means the same in every worker: a path from the root, a branch or tag by its commit."""
    if spec.uri.startswith("hf://"):
        return f"hf://{parse_hub_uri(spec.uri, spec.revision).name}", commit(path)
    return (spec.uri if "://" in spec.uri else path.absolute().as_uri()), None


def _number_format(digest: str, store: Store) -> DTypeName:
    """Measure once and keep: a second measurement that falls otherwise would make every delta and score a stranger."""
    key = f"{layout.base_prefix(digest)}{_NUMBER_FORMAT}"
    if store.stat(key) is None:
        with suppress(PreconditionError):  # another worker was first; its measurement is the one
            store.write(key, json.dumps({"dtype": probe_dtype(choose_device())}).encode(), if_absent=True)
    kept: DTypeName = json.loads(store.read(key))["dtype"]
    return kept
