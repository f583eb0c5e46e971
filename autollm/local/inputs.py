"""What sources, base model and ready-made deltas look like from outside, so that `autollm run` notices a change without reading them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from autollm.contract.digests import digest_document
from autollm.contract.folder import write_atomically
from autollm.errors import AutoLLMError
from autollm.resources.run import RunSpec
from autollm.store import Store, open_location


def look_at_inputs(spec: RunSpec, remembered: Path) -> str:
    """Return a digest that changes when a file that the run starts from does: by size and time on this machine, by tag in S3.

    Where one cannot be reached, what it looked like last time counts: it is up to the prepare task to say so, if it is needed at all.
    """
    known: dict[str, dict[str, str]] = json.loads(remembered.read_bytes()) if remembered.exists() else {}
    seen = {}
    for uri in dict.fromkeys(_uris(spec)):
        try:
            seen[uri] = dict(_look(uri, spec))
        except (AutoLLMError, OSError):
            seen[uri] = known.get(uri, {})
    if seen != known:
        write_atomically(remembered, json.dumps(seen, indent=1).encode())
    return digest_document(seen)


def _uris(spec: RunSpec) -> Iterator[str]:
    yield from (source.file.uri for source in spec.sources if source.file is not None)
    yield spec.model.uri
    for ready in spec.deltas or []:
        if ready.lora is not None:
            yield ready.lora.uri
        if ready.full is not None:
            yield ready.full.tuned
            yield from [ready.full.base] if ready.full.base is not None else []


def _look(uri: str, spec: RunSpec) -> Iterator[tuple[str, str]]:
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme not in ("file", "s3"):
        return
    store, key = open_location(uri, endpoint=spec.artifacts.endpoint, region=spec.artifacts.region)
    path = store.local_path(key)
    if path is not None:
        yield from _look_at_files(path)
    else:
        yield from _look_at_objects(store, key)


def _look_at_files(path: Path) -> Iterator[tuple[str, str]]:
    files = [path] if path.is_file() else [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    for file in sorted(files):
        stat = file.stat()
        yield str(file.relative_to(path)), f"{stat.st_size} {stat.st_mtime_ns}"


def _look_at_objects(store: Store, key: str) -> Iterator[tuple[str, str]]:
    found = store.stat(key)
    for name in [key] if found else store.list(f"{key.rstrip('/')}/"):
        stat = store.stat(name)
        if stat is not None:
            yield name, f"{stat.size} {stat.etag}"
