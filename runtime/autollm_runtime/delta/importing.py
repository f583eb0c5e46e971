"""Ready-made deltas: PEFT's adapters and tuned models, checked against the base and brought into the artifacts."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from autollm.contract.digests import digest_document, digest_file, short
from autollm.contract.manifests import DeltaManifest
from autollm.errors import InputError
from autollm.resources.facts import DeltaFact, ImportedDelta, ModelFact
from autollm.resources.training import LoraDelta, ReadyDelta, TaskVector
from autollm.store import Store, open_beside
from autollm_runtime.delta.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, read_adapter
from autollm_runtime.delta.artifacts import check_finite, find_delta, publish_delta
from autollm_runtime.delta.checkpoint import Checkpoint, open_checkpoint, read_header
from autollm_runtime.delta.conversion import convert, differences
from autollm_runtime.delta.full import FULL_WEIGHTS, read_full, write_full
from autollm_runtime.delta.tuned import TunedModel, open_tuned
from autollm_runtime.delta.values import Delta
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.folder import inspect_folder

IMPORT_VERSION = 1
"""Raised when the same files would become another delta."""

_log = logging.getLogger(__name__)


def import_delta(ready: ReadyDelta, base_fact: ModelFact, base_path: Path, store: Store, scratch: Path) -> ImportedDelta:
    """Check a ready-made delta against the base and publish it under the digest of its content and of the base.

    One that was imported before is only found. Raises InputError where it is of another base, of another tokenizer, not
    finite, or not to be expressed as a sum.
    """
    try:
        if ready.lora is not None:
            fact = _import_adapter(ready.name, ready.lora, base_fact, open_checkpoint(base_path), store, scratch)
        else:
            vector = ready.full if ready.full is not None else TaskVector(tuned="")
            fact = _import_tuned(ready.name, vector, base_fact, base_path, store, scratch)
    except InputError as error:
        raise InputError(f"deltas, {ready.name}: {error}", reason=error.reason) from error
    return ImportedDelta(name=ready.name, key=fact.key, digest=fact.digest)


def fetch_adapter(uri: str, store: Store, scratch: Path) -> Path:
    """Return a local folder with an adapter's two files, in place where they lie on this machine."""
    if uri.startswith("hf://"):
        return fetch_location(uri, None, store, scratch)
    holder, key = open_beside(store, uri)
    local = holder.local_path(key)
    if local is not None:
        if not local.is_dir():
            raise InputError(f"{uri} is not a folder; give the folder that holds {ADAPTER_CONFIG}", reason="NotFound")
        return local
    folder = scratch / "adapters" / short(digest_document({"uri": uri}))
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        holder.download(f"{key}/{name}" if key else name, folder / name)
    return folder


def _import_adapter(name: str, source: LoraDelta, base_fact: ModelFact, base: Checkpoint, store: Store, scratch: Path) -> DeltaFact:
    folder = fetch_adapter(source.uri, store, scratch)
    adapter = read_adapter(folder)
    content = {file: digest_file(folder / file) for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
    key = digest_document({"import": IMPORT_VERSION, "base": base_fact.digest, "adapter": content})
    found = find_delta(store, key)
    if found is not None:
        return found
    made = _empty(scratch / "import" / name)
    _write_adapter(adapter, base, name, made)
    form = "Lora" if (made / ADAPTER_WEIGHTS).exists() else "Full"
    return _publish(store, key, made, base_fact, source.uri, form)


def _import_tuned(name: str, vector: TaskVector, base_fact: ModelFact, base_path: Path, store: Store, scratch: Path) -> DeltaFact:
    base = open_checkpoint(base_path)
    folder = fetch_location(vector.tuned, None, store, scratch, field="tuned")
    origin_path = base_path if vector.base is None else fetch_location(vector.base, None, store, scratch, field="base")
    content = {
        "tuned": inspect_folder(folder, vector.tuned).digest(),
        "from": inspect_folder(origin_path, vector.base or base_fact.uri).digest(),
    }
    key = digest_document({"import": IMPORT_VERSION, "base": base_fact.digest, "full": content})
    found = find_delta(store, key)
    if found is not None:
        return found
    origin = base
    if vector.base is not None:
        origin = open_tuned(name, origin_path, base).checkpoint
    tuned = open_tuned(name, folder, origin)
    made = _empty(scratch / "import" / name)
    pairs = task_vector(tuned, origin)
    write_full(made / FULL_WEIGHTS, pairs, {parameter: origin.entries[parameter].shape for parameter in _changeable(origin)})
    check_finite(Delta(name, key, {}, read_full(made / FULL_WEIGHTS)))
    return _publish(store, key, made, base_fact, vector.tuned, "Full")


def task_vector(tuned: TunedModel, origin: Checkpoint) -> Iterable[tuple[str, Tensor]]:
    """Yield (parameter, W_tuned − W_origin in fp32), one at a time in memory."""
    for parameter in _changeable(origin):
        after = tuned.checkpoint.entries[str(tuned.checkpoint.locate(parameter))].read().float()
        yield parameter, after.sub_(origin.entries[parameter].read().float())


def _changeable(origin: Checkpoint) -> list[str]:
    """Return the parameters that are numbers to add to, tied ones once."""
    dropped = origin.head if origin.tied_head else None
    return [name for name, entry in origin.entries.items() if entry.dtype.is_floating_point and name != dropped]


def _write_adapter(adapter: Adapter, base: Checkpoint, name: str, folder: Path) -> None:
    converted = convert(adapter, base)
    if not converted.low_rank and not converted.full:
        raise InputError(f"{adapter.path} changes nothing", reason="Empty")
    if adapter.linear:
        for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            shutil.copyfile(adapter.path.parent / file, folder / file)
    elif converted.low_rank:
        _write_linear(adapter, converted.low_rank, folder)
    if converted.full:
        pairs = ((parameter, difference) for parameter, difference in differences(adapter, base) if parameter in converted.full)
        write_full(folder / FULL_WEIGHTS, pairs, converted.full)
        _log.info("adapter %s: %d parameters are not linear in its factors and became full differences", name, len(converted.full))
    check_finite(Delta(name, "", converted.low_rank, read_full(folder / FULL_WEIGHTS) if converted.full else {}))


def _write_linear(adapter: Adapter, kept: Iterable[str], folder: Path) -> None:
    modules = tuple(f"base_model.model.{parameter.removesuffix('.weight')}.lora_" for parameter in kept)
    tensors = {
        key: entry.read()
        for key, entry in read_header(adapter.path).items()
        if key.startswith(modules) and not key.endswith((".lora_B.bias", ".lora_magnitude_vector"))
    }
    save_file(tensors, folder / ADAPTER_WEIGHTS)
    config = json.loads((adapter.path.parent / ADAPTER_CONFIG).read_bytes())
    plain = {"use_dora": False, "lora_bias": False, "bias": "none", "modules_to_save": None}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config | plain, indent=1))


def _publish(store: Store, key: str, folder: Path, base: ModelFact, uri: str, form: str) -> DeltaFact:
    manifest = DeltaManifest.parse(
        {
            "key": key,
            "form": form,
            "base": base.digest,
            "dtype": base.dtype,
            "prefix": "",
            "files": [],
            "origin": uri,
            "versions": _versions(),
        }
    )
    fact = publish_delta(store, key, folder, manifest)
    shutil.rmtree(folder)
    return fact


def _versions() -> Mapping[str, str]:
    return {"torch": str(torch.__version__)}


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
