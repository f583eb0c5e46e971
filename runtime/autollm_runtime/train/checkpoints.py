"""Checkpoints of an unfinished training in the artifacts: whole or not there, and rare enough to cost little."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from autollm.contract import layout
from autollm.contract.digests import digest_file
from autollm.contract.manifests import CurvePoint, StoredFile
from autollm.errors import IntegrityError
from autollm.resources.model import Model
from autollm.resources.values import Digest
from autollm.store import NotFoundError, Store
from autollm.store.objects import download_verified

_log = logging.getLogger(__name__)

LIBRARIES = ("torch", "transformers", "peft", "trl")
"""What trains. None of them promises to read what another version of it saved, nor to go on from there to the same delta."""

_NEVER_READ = "training_args.bin"
"""What trainers save besides, a pickle of any objects: nobody goes on from it."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a checkpoint is due: after so many seconds, and never so often that saving takes more than a share of the time."""

    seconds: float = 60.0
    share: float = 0.05

    def due(self, since_last: float, cost: float) -> bool:
        """Whether to save now, where saving took `cost` seconds the last time."""
        return since_last >= max(self.seconds, cost / self.share)


class Trained(Model):
    """What a training had done when it was saved."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[CurvePoint] = []


class Checkpoint(Model):
    """The manifest of a checkpoint: its files below `prefix`, what had been done, and by which versions of the libraries."""

    key: Digest
    prefix: str
    files: list[StoredFile]
    trained: Trained
    versions: dict[str, str] = {}


class Checkpoints:
    """The newest checkpoint of one training, below its prefix in the artifacts."""

    def __init__(self, store: Store, key: str, scratch: Path) -> None:
        self._store = store
        self._key = key
        self._prefix = layout.checkpoint_prefix(key)
        self._place = f"{self._prefix}manifest.json"
        self._scratch = scratch

    def latest(self) -> tuple[Path, Trained] | None:
        """Return the folder of the newest checkpoint, every digest checked; one that is damaged counts as none."""
        newest = self.newest()
        folder = self.fetch(newest) if newest is not None else None
        return (folder, newest.trained) if folder is not None and newest is not None else None

    def newest(self) -> Checkpoint | None:
        """Return the manifest of the newest checkpoint; one that other versions of the libraries saved counts as none."""
        checkpoint = self._read()
        if checkpoint is not None and checkpoint.versions != _versions():
            _log.warning(
                "the checkpoint is not used, the training starts again: other versions of the libraries saved it",
                extra={"saved_by": checkpoint.versions, "installed": _versions()},
            )
            return None
        return checkpoint

    def _read(self) -> Checkpoint | None:
        try:
            checkpoint = Checkpoint.parse(json.loads(self._store.read(self._place)))
        except NotFoundError:
            return None
        except ValueError as error:
            _log.warning("the checkpoint's manifest cannot be read, the training starts again: %s", error)
            return None
        if not checkpoint.prefix.startswith(self._prefix):
            _log.warning("the checkpoint's manifest names files that are not its own, the training starts again")
            return None
        return checkpoint

    def fetch(self, checkpoint: Checkpoint) -> Path | None:
        """Return a folder with the files of a checkpoint, every digest checked; None where one is missing or damaged."""
        folder = self._scratch / "resumed"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for file in checkpoint.files:
                path = folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                download_verified(self._store, checkpoint.prefix + file.name, file.digest, path)
        except (NotFoundError, IntegrityError) as error:
            _log.warning("the checkpoint is not used: %s", error)
            return None
        return folder

    def keep(self, folder: Path, trained: Trained) -> None:
        """Copy a checkpoint into the artifacts; it replaces the earlier one when it is there whole."""
        earlier = self._read()
        prefix = f"{self._prefix}{trained.step}-{uuid.uuid4().hex[:8]}/"
        files = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _NEVER_READ):
            name = path.relative_to(folder).as_posix()
            self._store.upload(path, prefix + name)
            files.append(StoredFile(name=name, digest=digest_file(path), size=path.stat().st_size))
        manifest = Checkpoint(key=self._key, prefix=prefix, files=files, trained=trained, versions=_versions())
        self._store.write(self._place, json.dumps(manifest.document()).encode())
        if earlier is not None:
            for file in earlier.files:
                self._store.delete(earlier.prefix + file.name)

    def remove(self) -> None:
        """Delete all checkpoints of the training, the manifest first."""
        self._store.delete(self._place)
        for key in list(self._store.list(self._prefix)):
            self._store.delete(key)


def _versions() -> dict[str, str]:
    return {library: version(library) for library in LIBRARIES}
