"""Published revisions: which there are, which one is in use, and how that one changes."""

from __future__ import annotations

from pydantic import ValidationError

from autollm.contract.digests import digest_bytes
from autollm.contract.layout import LATEST, REVISIONS, revision_manifest, revision_prefix
from autollm.contract.manifests import Pointer, RevisionManifest
from autollm.errors import InputError, IntegrityError
from autollm.resources.facts import ModelFact, PublishedRevision
from autollm.store.objects import digest_object
from autollm.store.port import NotFoundError, PreconditionError, Store


def read_pointer(store: Store) -> tuple[Pointer, str] | None:
    """Return what `latest` points to and the etag to move it by, or None where nothing was published.

    Raises InputError where the pointer cannot be read as one.
    """
    known = store.stat(LATEST)  # before the content: a pointer that moves in between then fails to move by this etag
    if known is None:
        return None
    try:
        return Pointer.model_validate_json(store.read(LATEST)), known.etag
    except ValidationError as error:
        raise InputError(f"{store.uri}/{LATEST} is no pointer to a revision ({error.error_count()} faults): restore it") from error


def move_pointer(store: Store, pointer: Pointer, expected_etag: str | None) -> str:
    """Point `latest` to a revision and return the new etag; `expected_etag` is that of the pointer it replaces, None the first time.

    Raises PreconditionError where somebody else moved it meanwhile.
    """
    data = (pointer.model_dump_json(by_alias=True, exclude_none=True) + "\n").encode()
    try:
        return store.write(LATEST, data, if_absent=expected_etag is None, if_match=expected_etag).etag
    except PreconditionError as error:
        raise PreconditionError(f"{store.uri}/{LATEST} was moved by somebody else meanwhile: look at it, and start again") from error


def list_revisions(store: Store) -> list[str]:
    """Return the names of all revisions that have a manifest, oldest first."""
    names = (key.removeprefix(REVISIONS).partition("/") for key in store.list(REVISIONS))
    return sorted((name for name, _, file in names if file == "manifest.json" and _is_name(name)), key=_number)


def verify_revision(store: Store, revision: str) -> tuple[RevisionManifest, str]:
    """Return the manifest of a revision and its digest, after every file was read and found to be what the manifest says.

    Raises NotFoundError where the revision or one of its files is missing, IntegrityError where a file is damaged.
    """
    key = revision_manifest(revision)
    try:
        data = store.read(key)
    except NotFoundError as error:
        there = ", ".join(list_revisions(store)) or "none"
        raise NotFoundError(f"{store.uri} has no revision {revision!r}: there are {there}") from error
    try:
        manifest = RevisionManifest.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{store.uri}/{key} is no manifest of a revision ({error.error_count()} faults): restore it") from error
    for file in manifest.files:
        where = revision_prefix(revision) + file.name
        found = digest_object(store, where)
        if found != file.digest:
            raise IntegrityError(f"{store.uri}/{where} is damaged: expected {file.digest}, found {found}; take another revision")
    return manifest, digest_bytes(data)


def rollback(store: Store, to: str | None = None) -> Pointer:
    """Point `latest` to a revision published before, the previous one unless `to` names another, and return the pointer.

    Again without `to` goes one further back. Raises NotFoundError where there is nothing to go back to, IntegrityError where
    that revision is damaged, PreconditionError where `latest` moved meanwhile; `latest` then stays.
    """
    current = read_pointer(store)
    if current is None:
        raise NotFoundError(f"{store.uri} has no published revision: there is nothing to go back to")
    pointer, etag = current
    target = to if to is not None else pointer.previous
    if target is None:
        raise NotFoundError(f"{store.uri}: no revision was published before {pointer.revision!r}: name another")
    if target == pointer.revision:
        return pointer
    _, digest = verify_revision(store, target)
    older = [name for name in list_revisions(store) if _number(name) < _number(target)]
    moved = Pointer(revision=target, digest=digest, previous=older[-1] if older else None)
    move_pointer(store, moved, etag)
    return moved


def published_fact(
    store: Store, manifest: RevisionManifest, digest: str, *, as_of: str | None = None, task: str | None = None
) -> PublishedRevision:
    """Return what is reported of a published revision."""
    if not isinstance(manifest.model, ModelFact):
        raise InputError(f"{store.uri}: revision {manifest.revision} does not say which model it was merged from; publish another first")
    return PublishedRevision(
        revision=manifest.revision,
        uri=f"{store.uri}/{revision_prefix(manifest.revision).removesuffix('/')}",
        digest=digest,
        base=manifest.model.digest,
        weights=manifest.weights,
        deltas=manifest.deltas,
        trial=manifest.trial,
        as_of=as_of,
        task=task,
    )


def _is_name(name: str) -> bool:
    return name.startswith("r") and name[1:].isdecimal()


def _number(name: str) -> int:
    return int(name[1:])
