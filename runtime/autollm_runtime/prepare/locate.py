"""The files of a source on this machine, in the order of their names, with their digests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autollm.contract.digests import digest_bytes, digest_file, short
from autollm.errors import InputError
from autollm.resources.run import Artifacts
from autollm.resources.sources import Source
from autollm.store import AccessDeniedError, NotFoundError, Store, open_location
from autollm.store.disk import disk_errors
from autollm.store.objects import objects_at
from autollm_runtime.prepare.container import kind_by_name
from autollm_runtime.prepare.dataset_info import DATASET_INFO, Described, read_dataset_info
from autollm_runtime.prepare.place import Place

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: where the user sees it, where it lies here, and what it holds."""

    place: Place
    path: Path
    digest: str
    described: Described | None = None


def locate(source: Source, artifacts: Artifacts, scratch: Path) -> Iterator[SourceFile]:
    """Yield the files of a source; those that are not on this machine are copied below `scratch`.

    A folder or prefix gives all files in it whose names end as data does; hidden ones and others are passed over. LLaMA-Factory's
    dataset_info.json in it tells the columns of the files that it names. Sources in S3 are read from the endpoint and region of the
    artifacts. Raises InputError (NotFound, NoDataFiles) naming the source.
    """
    assert source.file is not None  # noqa: S101  # the document's rule: exactly one kind of source
    uri = source.file.uri
    try:
        store, key = open_location(uri, endpoint=artifacts.endpoint, region=artifacts.region)
        keys = list(objects_at(store, key.removesuffix("/")))
    except (NotFoundError, AccessDeniedError) as error:
        what = "does not exist" if isinstance(error, NotFoundError) else "may not be read"
        raise InputError(f"source {source.name}: file.uri {uri} {what} ({error})", reason=error.reason) from error
    alone = keys == [key]
    chosen = keys if alone else [found for found in keys if _is_data(found)]
    if not chosen:
        raise InputError(
            f"source {source.name}: file.uri {uri} holds no file whose name ends in .jsonl, .json, .csv, .tsv or .parquet (or with .gz); "
            "name one file, or rename them",
            reason="NoDataFiles",
        )
    descriptions = next((found for found in keys if not alone and PurePosixPath(found).name == DATASET_INFO), None)
    described = {} if descriptions is None else read_dataset_info(store.read(descriptions), f"{store.uri}/{descriptions}")
    if len(chosen) < len(keys):
        _log.info("files that are no data are passed over", extra={"source": source.name, "uri": uri, "files": len(keys) - len(chosen)})
    for found in chosen:
        shown = uri if alone else f"{uri.rstrip('/')}/{found.removeprefix(key).lstrip('/')}"
        path = _fetch(store, found, scratch)
        with disk_errors(str(path)):
            digest = digest_file(path)
        yield SourceFile(Place(source.name, shown), path, digest, described.get(PurePosixPath(found).name))


def _is_data(key: str) -> bool:
    name = PurePosixPath(key).name
    return not name.startswith((".", "_")) and name != DATASET_INFO and kind_by_name(name) is not None


def _fetch(store: Store, key: str, scratch: Path) -> Path:
    local = store.local_path(key)
    if local is not None:
        return local
    path = scratch / "sources" / short(digest_bytes(f"{store.uri}/{key}".encode()), 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    store.download(key, path)
    return path
