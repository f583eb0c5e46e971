"""Deltas in the artifacts: published with the manifest last, found by key, read with every digest checked."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path

import torch
from torch import Tensor

from autollm.contract import layout
from autollm.contract.digests import digest_bytes, digest_file, short
from autollm.contract.manifests import DeltaManifest, StoredFile
from autollm.errors import InputError, IntegrityError
from autollm.resources.facts import DeltaFact
from autollm.store import NotFoundError, PreconditionError, Store
from autollm.store.deltas import find_manifest
from autollm.store.objects import download_verified
from autollm_runtime.delta.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_adapter
from autollm_runtime.delta.full import FULL_WEIGHTS, read_full
from autollm_runtime.delta.values import Delta, LowRank

FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, FULL_WEIGHTS)

_BLOCK = 1 << 24
_log = logging.getLogger(__name__)


def find_delta(store: Store, key: str) -> DeltaFact | None:
    """Return what is known of a delta that is in the artifacts with all its files, or None."""
    manifest = find_manifest(store, key)
    return DeltaFact(key=key, digest=digest_bytes(manifest)) if manifest is not None else None


def read_manifest(store: Store, key: str) -> DeltaManifest:
    """Return the manifest of a delta; raises NotFoundError, or IntegrityError where it is another delta's or damaged."""
    place = layout.delta_manifest(key)
    try:
        manifest = DeltaManifest.parse(json.loads(store.read(place)))
    except ValueError as error:
        raise IntegrityError(f"{store.uri}/{place} is damaged; remove it, and the delta is made again") from error
    if manifest.key != key:
        raise IntegrityError(f"{store.uri}/{place} belongs to the delta {short(manifest.key)}; remove it, and the delta is made again")
    return manifest


def publish_delta(store: Store, key: str, files: Path, manifest: DeltaManifest) -> DeltaFact:
    """Upload a delta's folder to a private prefix and make it real by its manifest; return the fact of whoever was first.

    `files` holds adapter_config.json and adapter_model.safetensors, or delta.safetensors, or all three; anything else in it
    stays where it is. `prefix` and `files` of the manifest are filled in here. The manifest of a delta whose files are gone is replaced.
    """
    place = layout.delta_manifest(key)
    hollow = store.stat(place)  # before the look at its files: what has changed since is not replaced
    found = find_delta(store, key)
    if found is not None:
        return found
    prefix = layout.delta_attempt(key, uuid.uuid4().hex[:12])
    stored = []
    for path in sorted(files / name for name in FILES if (files / name).is_file()):
        store.upload(path, prefix + path.name)
        stored.append(StoredFile(name=path.name, digest=digest_file(path), size=path.stat().st_size))
    if not stored:
        raise InputError(f"{files} holds none of {', '.join(FILES)}: there is no delta to publish")
    whole = manifest.model_copy(update={"key": key, "prefix": prefix, "files": stored})
    data = (json.dumps(whole.document(), indent=1, sort_keys=True) + "\n").encode()
    try:
        store.write(place, data, if_absent=hollow is None, if_match=hollow.etag if hollow is not None else None)
    except PreconditionError:
        _log.info("delta %s was published by another worker meanwhile; its files are used", short(key))
        for file in stored:
            store.delete(prefix + file.name)
        winner = find_delta(store, key)
        if winner is None:
            raise
        return winner
    return DeltaFact(key=key, digest=digest_bytes(data))


def read_delta(store: Store, name: str, key: str, *, base: str, scratch: Path) -> Delta:
    """Return a delta from the artifacts, in place where they are on this machine, else copied below `scratch`.

    Raises NotFoundError where there is none, IntegrityError where a file's bytes are not those of the manifest, and InputError
    where it belongs to another base or holds a value that is not finite (reason NonFinite), naming the tensor.
    """
    manifest = read_manifest(store, key)
    if manifest.base != base:
        raise InputError(
            f"delta {name!r} was made from the base {short(manifest.base)}, not from {short(base)}: train it again from this one",
            reason="OtherBase",
        )
    paths = {file.name: fetch_file(store, manifest, file, scratch) for file in manifest.files}
    low_rank: dict[str, LowRank] = {}
    if ADAPTER_WEIGHTS in paths:
        adapter = read_adapter(paths[ADAPTER_WEIGHTS].parent)
        if not adapter.linear:
            raise InputError(
                f"delta {name!r} is not linear in its factors (DoRA, biases or saved modules); import it, which converts it",
                reason="NotLinear",
            )
        low_rank = dict(adapter.low_rank)
    delta = Delta(name, key, low_rank, read_full(paths[FULL_WEIGHTS]) if FULL_WEIGHTS in paths else {})
    check_finite(delta)
    return delta


def fetch_file(store: Store, manifest: DeltaManifest, file: StoredFile, scratch: Path) -> Path:
    """Return a local path of one file of a delta whose digest was just checked."""
    place = manifest.prefix + file.name
    path = store.local_path(place)
    if path is None:
        path = scratch / "deltas" / layout.hexadecimal(manifest.key) / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_verified(store, place, file.digest, path)
        except (NotFoundError, IntegrityError) as error:
            raise _not_whole(store, manifest, place) from error
    elif not path.is_file() or digest_file(path) != file.digest:
        raise _not_whole(store, manifest, place)
    return path


def _not_whole(store: Store, manifest: DeltaManifest, place: str) -> IntegrityError:
    return IntegrityError(
        f"{store.uri}/{place} is missing or damaged: its bytes are not those of its manifest; "
        f"remove {store.uri}/{layout.delta_manifest(manifest.key)}, and it is made again by the next `autollm run`, "
        "in a cluster by `autollm retry --look-again`"
    )


def check_finite(delta: Delta) -> None:
    """Raise InputError naming the first tensor of a delta that holds a NaN or an infinity."""
    for parameter, change in sorted(delta.low_rank.items()):
        for part, factor in (("lora_A", change.a), ("lora_B", change.b)):
            if not _finite(factor):
                raise _not_finite(delta.name, f"{part} of {parameter}")
    for parameter, difference in sorted(delta.full.items()):
        if not _finite(difference):
            raise _not_finite(delta.name, parameter)


def _finite(tensor: Tensor) -> bool:
    # A NaN spreads to both ends, so that one pass without a copy suffices.
    flat = tensor.reshape(-1)
    ends = (torch.stack(torch.aminmax(flat[start : start + _BLOCK])) for start in range(0, len(flat), _BLOCK))
    return all(bool(torch.isfinite(end).all()) for end in ends)


def _not_finite(name: str, what: str) -> InputError:
    return InputError(
        f"delta {name!r}: {what} holds NaN or infinity; its training diverged: lower the learning rate and train it again",
        reason="NonFinite",
    )
