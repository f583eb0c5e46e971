"""Files inside installed Python packages: package://python_package/path/inside."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from autollm.errors import InputError
from autollm.store.folder import FolderStore
from autollm.store.port import NotFoundError
from autollm.store.read_only import ReadOnlyStore


def open_package(package: str) -> ReadOnlyStore:
    """Return the files of an installed package, which is found but never imported: its code does not run.

    Raises NotFoundError where no such package is installed, InputError where it is a single module or still packed in an archive.
    """
    uri = f"package://{package}"
    top, *inner = package.split(".")
    if not all(part.isidentifier() for part in (top, *inner)):
        raise InputError(f"{uri!r} names no Python package: write package://python_package/path/inside")
    spec = find_spec(top)
    if spec is None:
        raise NotFoundError(f"{uri}: no package {top!r} is installed in this environment: install it, or mend its name")
    for location in spec.submodule_search_locations or ():
        folder = Path(location, *inner)
        if folder.is_dir():
            return ReadOnlyStore(FolderStore(folder, uri=uri), uri)
    raise InputError(f"{uri}: {package!r} has no folder of files on this disk: it is a single module, or packed in an archive")


def split_package(uri: str) -> tuple[str, str]:
    """Return package and key of `package://python_package/path/inside`."""
    package, _, key = uri.removeprefix("package://").partition("/")
    return package, key.removesuffix("/")
