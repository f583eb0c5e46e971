"""A model's folder or file on this machine, from wherever its URI points."""

from __future__ import annotations

from pathlib import Path

from autollm.contract.digests import digest_bytes, short
from autollm.errors import InputError, IntegrityError
from autollm.resources.delta_training import LoadedModel
from autollm.resources.facts import ModelFact
from autollm.store import Store, open_beside
from autollm.store.hub import parse_hub_uri, snapshot
from autollm_runtime.model.folder import inspect_folder, is_model_file


def fetch_model(model: LoadedModel | ModelFact, store: Store, scratch: Path) -> Path:
    """Return a local folder with a base model, in place where it lies on this machine, else a copy in `scratch`.

    `store` is the artifacts, where a converted copy may lie. Raises IntegrityError where it is no longer the model whose
    digest was prepared, InputError where it is gone or damaged.
    """
    path = fetch_location(model.uri, model.revision, store, scratch)
    digest = inspect_folder(path, model.uri).digest()
    if digest != model.digest:
        raise IntegrityError(
            f"the model at {model.uri} has digest {short(digest)}, not {short(model.digest)} with which the run was prepared: "
            "it was changed or damaged; restore it, or start the run again to prepare with the changed one"
        )
    return path


def fetch_location(uri: str, revision: str | None, store: Store, scratch: Path, *, field: str = "model.uri") -> Path:
    """Return a local path of the folder or file at a URI, unchecked; copies go below `scratch` and are made once.

    `store` is the artifacts: what lies in S3 is read from their endpoint and region. `field` is where the user wrote the URI. Raises
    InputError where nothing is there.
    """
    if uri.startswith("hf://"):
        source = parse_hub_uri(uri, revision)
        return snapshot(source.name, source.revision)
    if uri.startswith(f"{store.uri}/"):
        holder, key = store, uri.removeprefix(f"{store.uri}/")
    else:
        holder, key = open_beside(store, uri)
    local = holder.local_path(key)
    return local if local is not None else _copy(uri, holder, key.removesuffix("/"), scratch, field)


def _copy(uri: str, store: Store, key: str, scratch: Path, field: str) -> Path:
    target = scratch / "models" / short(digest_bytes(uri.encode()))
    if (found := store.stat(key)) is not None:
        file = target / key.rpartition("/")[2]
        _download(store, key, file, found.size)
        return file
    prefix = f"{key}/" if key else ""
    names = [name for name in (entry.removeprefix(prefix) for entry in store.list(prefix)) if is_model_file(name)]
    if not names:
        raise InputError(f"{field}: there is no model at {uri}; check the path", reason="NotFound")
    for name in names:
        found = store.stat(prefix + name)
        _download(store, prefix + name, target / name, found.size if found else -1)
    return target


def _download(store: Store, key: str, path: Path, size: int) -> None:
    # A download appears whole or not at all, so one of the right size was finished by an earlier attempt.
    if not path.is_file() or path.stat().st_size != size:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(key, path)
