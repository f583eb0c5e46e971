"""Deltas in the artifacts: which are there, all of whose files are."""

from __future__ import annotations

import json

from autollm.contract.layout import delta_manifest, delta_prefix
from autollm.contract.manifests import DeltaManifest
from autollm.store.port import NotFoundError, Store


def find_manifest(store: Store, key: str) -> bytes | None:
    """Return the manifest of a delta, or None where there is none, or a file that it names is gone: such a delta is made again.

    What cannot be read as a manifest is returned as it is: whoever reads the delta says what is wrong with it.
    """
    there = frozenset(store.list(delta_prefix(key)))  # one request, however many files a delta has
    place = delta_manifest(key)
    if place not in there:
        return None
    try:
        data = store.read(place)
    except NotFoundError:
        return None
    try:
        manifest = DeltaManifest.parse(json.loads(data))
    except ValueError:
        return data
    return data if there.issuperset(manifest.prefix + file.name for file in manifest.files) else None
