"""Objects in a folder: what the Kubernetes API is to the operator, a folder of JSON files is to the local engine and its workers.

    FOLDER/mergetrials/NAME/object.json     kind, metadata and spec; written once by the engine
    FOLDER/mergetrials/NAME/status.json     the status fields of the engine
    FOLDER/mergetrials/NAME/result.json     the status fields of a worker, one file an owner

Every file appears whole or not at all, and each has one writer, so that no lock is needed between engine and workers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

Kind = Literal["AutoLLMRun", "DeltaTraining", "MergeTrial"]
Part = Literal["status", "prepared", "published", "progress", "delta", "result"]
PLURALS: Mapping[Kind, str] = {"AutoLLMRun": "autollmruns", "DeltaTraining": "deltatrainings", "MergeTrial": "mergetrials"}
_OBJECT = "object.json"


def write_atomically(path: Path, data: bytes, *, exclusive: bool = False) -> bool:
    """Write a file whole or not at all; `exclusive` keeps a file that exists, and then False is returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    # Unlike mkstemp's files, for others to read as far as the user's umask lets them.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if exclusive:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        else:
            os.replace(temporary, path)  # noqa: PTH105  # the pair of os.link above
            return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


class ObjectFolder:
    """The objects of one run on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, kind: Kind) -> list[str]:
        """Return the names of all objects of a kind, in order."""
        folder = self.root / PLURALS[kind]
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(folder) if (folder / entry.name / _OBJECT).exists())

    def read(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Return an object with the status fields of all owners together, or None where there is none."""
        folder = self.root / PLURALS[kind] / name
        try:
            document: dict[str, Any] = json.loads((folder / _OBJECT).read_bytes())
        except FileNotFoundError:
            return None
        status: dict[str, Any] = {}
        for part in sorted(folder.glob("*.json")):
            if part.name != _OBJECT:
                status |= json.loads(part.read_bytes())
        return document | ({"status": status} if status else {})

    def all(self, kind: Kind) -> Iterator[dict[str, Any]]:
        """Yield every object of a kind, in the order of names."""
        for name in self.names(kind):
            document = self.read(kind, name)
            if document is not None:
                yield document

    def create(self, kind: Kind, name: str, document: Mapping[str, Any]) -> bool:
        """Write an object that does not exist yet; False where it does, which is then left as it is."""
        return write_atomically(self._path(kind, name, _OBJECT), _encode(document), exclusive=True)

    def apply(self, kind: Kind, name: str, document: Mapping[str, Any]) -> None:
        """Write an object, over an earlier one of its name."""
        write_atomically(self._path(kind, name, _OBJECT), _encode(document))

    def report(self, kind: Kind, name: str, part: Part, fields: Mapping[str, Any], *, final: bool = False) -> bool:
        """Write the status fields of one owner; `final` ones are written once, and False says that they were there."""
        return write_atomically(self._path(kind, name, f"{part}.json"), _encode(fields), exclusive=final)

    def withdraw(self, kind: Kind, name: str, part: Part) -> None:
        """Remove the status fields of one owner."""
        self._path(kind, name, f"{part}.json").unlink(missing_ok=True)

    def delete(self, kind: Kind, name: str) -> None:
        """Remove an object with the status fields of all owners; one that is not there is removed already."""
        self._path(kind, name, _OBJECT).unlink(missing_ok=True)  # first: without it, whatever is left is no object
        shutil.rmtree(self.root / PLURALS[kind] / name, ignore_errors=True)

    def _path(self, kind: Kind, name: str, file: str) -> Path:
        return self.root / PLURALS[kind] / name / file


def _encode(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
