"""A delta as somebody names it on the command line: an adapter, a tuned model, or one in a run's artifacts."""

from __future__ import annotations

import json
from pathlib import Path

from autollm.contract.manifests import DeltaManifest
from autollm.errors import InputError
from autollm.store import Store, open_location, open_store
from autollm_runtime.delta.adapter import ADAPTER_CONFIG, read_adapter
from autollm_runtime.delta.artifacts import check_finite, read_delta
from autollm_runtime.delta.checkpoint import Checkpoint
from autollm_runtime.delta.conversion import convert, differences
from autollm_runtime.delta.importing import fetch_adapter
from autollm_runtime.delta.tuned import TunedModel, open_tuned
from autollm_runtime.delta.values import Delta
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.folder import inspect_folder

_MANIFEST = "manifest.json"


def open_delta(uri: str, base: Checkpoint, scratch: Path) -> Delta | TunedModel:
    """Return the delta at a URI or path, under that name, checked against the base.

    A folder is told by what lies in it: adapter_config.json is PEFT's, config.json a whole model's, manifest.json that of a delta
    in artifacts. Raises InputError for any other, and where it does not fit the base.
    """
    cache = open_store(str(scratch))
    if uri.startswith("hf://"):
        folder = fetch_location(uri, None, cache, scratch)
        return _open_adapter(uri, folder, base) if (folder / ADAPTER_CONFIG).is_file() else open_tuned(uri, folder, base)
    store, key = open_location(uri)
    key = key.removesuffix("/").removesuffix(_MANIFEST).removesuffix("/")
    prefix = f"{key}/" if key else ""
    if store.stat(prefix + ADAPTER_CONFIG) is not None:
        return _open_adapter(uri, fetch_adapter(uri, cache, scratch), base)
    if store.stat(prefix + _MANIFEST) is not None:
        return _open_published(uri, store, prefix, base, scratch)
    if store.stat(f"{prefix}config.json") is not None:
        return open_tuned(uri, fetch_location(uri, None, cache, scratch), base)
    raise InputError(
        f"--delta {uri}: there is no adapter ({ADAPTER_CONFIG}), model (config.json) or delta of a run ({_MANIFEST}); check the path",
        reason="NotFound",
    )


def _open_adapter(name: str, folder: Path, base: Checkpoint) -> Delta:
    adapter = read_adapter(folder)
    converted = convert(adapter, base)
    full = {parameter: difference for parameter, difference in differences(adapter, base) if parameter in converted.full}
    delta = Delta(name, name, converted.low_rank, full)
    check_finite(delta)
    return delta


def _open_published(uri: str, store: Store, prefix: str, base: Checkpoint, scratch: Path) -> Delta:
    manifest = DeltaManifest.parse(json.loads(store.read(prefix + _MANIFEST)))
    root = f"{store.uri}/{prefix.removesuffix('/')}".rsplit("/", 2)[0]  # …/deltas/KEY lies two levels below
    digest = inspect_folder(base.folder, str(base.folder)).digest()
    return read_delta(open_store(root), uri, manifest.key, base=digest, scratch=scratch)
