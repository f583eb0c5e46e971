"""Revisions in the artifacts: whose number it is, which are kept, and what is reported of one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import Pointer, RevisionManifest
from autollm.errors import TemporaryError
from autollm.store import NotFoundError, PreconditionError, Store
from autollm.store.revisions import list_revisions, move_pointer, read_pointer

ABANDONED = timedelta(days=7)
"""After which a revision that was begun and has no manifest is taken to be left: another winner took its place, or its run was deleted."""

_TRIES = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The right to write the files of one revision; `created` is the time of the first attempt, the same in every later one."""

    revision: str
    identity: str
    created: str


def claim_revision(store: Store, identity: str) -> Claim:
    """Return the revision of this content, which an earlier attempt may have begun or even finished, or else claim the next number.

    Two that publish different things never write below the same prefix, and whoever repeats a publication continues it.
    """
    for revision in sorted(_claimed(store), key=_number, reverse=True):
        claim = _read_claim(store, revision)
        if claim is not None and claim.identity == identity:
            return claim
    created = datetime.now(UTC).isoformat(timespec="seconds")
    for _ in range(_TRIES):
        revision = f"r{max((_number(name) for name in _claimed(store)), default=0) + 1}"
        document = {"identity": identity, "created": created}
        try:
            store.write(layout.revision_claim(revision), (json.dumps(document) + "\n").encode(), if_absent=True)
            return Claim(revision, identity, created)
        except PreconditionError:
            claim = _read_claim(store, revision)
            if claim is not None and claim.identity == identity:
                return claim
    raise TemporaryError(f"{store.uri}: others took {_TRIES} revisions in a row while this one was published; start again")


def read_revision(store: Store, revision: str) -> tuple[RevisionManifest, str] | None:
    """Return the manifest of a revision and its digest, or None where it was not finished."""
    try:
        data = store.read(layout.revision_manifest(revision))
    except NotFoundError:
        return None
    return RevisionManifest.model_validate_json(data), digest_bytes(data)


def point_latest(store: Store, revision: str, digest: str, check_stop: Callable[[], None]) -> None:
    """Move `latest` to a new revision, unless one that is newer still was published meanwhile."""
    for _ in range(_TRIES):
        check_stop()  # a write that had to be made again may have met a pin, which has taken the place of this publication
        found = read_pointer(store)
        current, etag = found if found is not None else (None, None)
        if current is not None and current.revision == revision:
            return
        if current is not None and _number(current.revision) > _number(revision):
            _log.info("latest stays at a newer revision", extra={"latest": current.revision, "revision": revision})
            return
        try:
            move_pointer(store, Pointer(revision=revision, digest=digest, previous=current.revision if current else None), etag)
            return
        except PreconditionError:
            continue
    raise TemporaryError(f"{store.uri}/{layout.LATEST} was moved by others {_TRIES} times while {revision} was published; start again")


def prune_revisions(store: Store, keep: int, held: Collection[str], now: datetime) -> list[str]:
    """Remove all but the newest `keep` revisions and what was begun long ago and never finished; return what went.

    Never one of `held` goes, or the one `latest` points to. The manifest goes first: a revision without one does not exist.
    """
    found = read_pointer(store)
    spared = {*held, *([found[0].revision] if found is not None else [])}
    finished = list_revisions(store)
    abandoned = [revision for revision in sorted(_claimed(store) - set(finished), key=_number) if _is_abandoned(store, revision, now)]
    removed = [revision for revision in [*abandoned, *finished[:-keep]] if revision not in spared]
    for revision in removed:
        store.delete(layout.revision_manifest(revision))
        for key in list(store.list(layout.revision_prefix(revision))):
            store.delete(key)
    if removed:
        _log.info("older revisions were removed, as artifacts.keep asks", extra={"revisions": removed})
    return removed


def _is_abandoned(store: Store, revision: str, now: datetime) -> bool:
    """Whether nobody finishes a revision any more; what has not even a claim is what was left of one while it was removed."""
    claim = _read_claim(store, revision)
    return claim is None or now - datetime.fromisoformat(claim.created) > ABANDONED


def _claimed(store: Store) -> set[str]:
    """Return every number that was ever taken, finished or not."""
    names = {key.removeprefix(layout.REVISIONS).partition("/")[0] for key in store.list(layout.REVISIONS)}
    return {name for name in names if name.startswith("r") and name[1:].isdecimal()}


def _read_claim(store: Store, revision: str) -> Claim | None:
    try:
        document = json.loads(store.read(layout.revision_claim(revision)))
    except NotFoundError:
        return None
    return Claim(revision, str(document["identity"]), str(document["created"]))


def _number(revision: str) -> int:
    return int(revision[1:])
