"""From a URI to the store behind it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from autollm.errors import InputError
from autollm.store.port import Store


def open_store(uri: str, *, endpoint: str | None = None, region: str | None = None) -> Store:
    """Return the store of all objects below a URI; a path without scheme counts from the working folder.

    `endpoint` and `region` are for s3:// alone. hf:// fetches the model. Nothing else is read or made: a folder appears with the
    first write, and a bucket that is missing is noticed with the first use. Raises InputError for a URI that no store has.
    """
    match _scheme(uri):
        case "s3":
            from autollm.store.s3 import S3Store, split_s3

            bucket, prefix = split_s3(uri)
            return S3Store(bucket, prefix, endpoint=endpoint, region=region)
        case "package":
            from autollm.store.package import open_package, split_package

            package, key = split_package(uri)
            return open_package(".".join([package, *key.split("/")]) if key else package)
        case "hf":
            from autollm.store.hub import open_hub, parse_hub_uri

            return open_hub(parse_hub_uri(uri))
        case _:
            from autollm.store.folder import FolderStore

            return FolderStore(_path(uri))


def open_location(uri: str, *, endpoint: str | None = None, region: str | None = None) -> tuple[Store, str]:
    """Return a store and the key that a URI names in it: of one object, or of a folder of objects; `""` is all of the store.

    `autollm.store.objects.objects_at` tells the two apart. Arguments and errors are those of `open_store`.
    """
    match _scheme(uri):
        case "s3":
            from autollm.store.s3 import S3Store, split_s3

            bucket, key = split_s3(uri)
            return S3Store(bucket, endpoint=endpoint, region=region), key
        case "package":
            from autollm.store.package import open_package, split_package

            package, key = split_package(uri)
            return open_package(package), key
        case "hf":
            return open_store(uri), ""
        case _:
            from autollm.store.folder import FolderStore

            path = _path(uri)
            return FolderStore(path.parent), path.name


def open_beside(store: Store, uri: str) -> tuple[Store, str]:
    """Return what `open_location` does, where S3 means the server of `store`: the endpoint and region of the artifacts.

    Errors are those of `open_store`.
    """
    if _scheme(uri) == "s3":
        from autollm.store.s3 import S3Store

        if isinstance(store, S3Store):
            return open_location(uri, endpoint=store.endpoint, region=store.region)
    return open_location(uri)


def _scheme(uri: str) -> str:
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return "file"
    if scheme not in ("s3", "file", "hf", "package"):
        raise InputError(f"{uri!r} has an unknown scheme {scheme!r}: use s3://, file://, hf://, package:// or a path")
    return scheme


def _path(uri: str) -> Path:
    if "://" not in uri:
        if not uri:
            raise InputError("an empty path names no place: write a path, or . for the working folder")
        path = Path(os.path.expanduser(uri)).absolute()  # noqa: PTH111  # Path.expanduser fails where there is no such user
        return path.resolve() if path.name == ".." else path
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(f"{uri!r} is not a file on this machine: write file:///path with three slashes, or a path alone")
    return Path(unquote(parts.path))
