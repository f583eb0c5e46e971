"""Which revision is in use, and how that changes."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.layout import LATEST, revision_manifest, revision_prefix
from autollm.contract.manifests import Pointer, RevisionManifest, StoredFile
from autollm.errors import InputError, IntegrityError
from autollm.store.memory import MemoryStore
from autollm.store.port import NotFoundError, PreconditionError, Stat, Store
from autollm.store.revisions import list_revisions, move_pointer, read_pointer, rollback, verify_revision

ANY = "sha256:" + "0" * 64


def publish(store: Store, revision: str, *, previous: str | None = None) -> Pointer:
    weights = f"the weights of {revision}".encode()
    store.write(f"{revision_prefix(revision)}model.safetensors", weights)
    fields: dict[str, Any] = {"model": {}, "weights": {}, "deltas": {}, "lineage": [], "results": [], "versions": {}, "spec": {}}
    manifest = RevisionManifest(
        revision=revision,
        run="math",
        trial="math-1",
        data=ANY,
        dtype="Float32",
        created="2026-01-01T00:00:00Z",
        files=[StoredFile(name="model.safetensors", digest=digest_bytes(weights), size=len(weights))],
        **fields,
    )
    data = manifest.model_dump_json(by_alias=True).encode()
    store.write(revision_manifest(revision), data, if_absent=True)
    known = read_pointer(store)
    pointer = Pointer(revision=revision, digest=digest_bytes(data), previous=previous)
    move_pointer(store, pointer, known[1] if known else None)
    return pointer


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    publish(made, "r1")
    publish(made, "r2", previous="r1")
    publish(made, "r10", previous="r2")
    return made


def revision_in_use(store: Store) -> str:
    known = read_pointer(store)
    assert known is not None
    return known[0].revision


def test_an_empty_store_has_no_revision() -> None:
    store = MemoryStore()
    assert read_pointer(store) is None
    assert list_revisions(store) == []
    with pytest.raises(NotFoundError, match="memory://store has no published revision"):
        rollback(store)


def test_revisions_come_oldest_first_and_only_with_a_manifest(store: MemoryStore) -> None:
    store.write("revisions/r11/model.safetensors", b"not finished")
    store.write("revisions/notes/manifest.json", b"{}")
    assert list_revisions(store) == ["r1", "r2", "r10"]


def test_the_pointer_moves_only_from_where_it_was_read(store: MemoryStore) -> None:
    known = read_pointer(store)
    assert known is not None
    move_pointer(store, Pointer(revision="r1", digest=ANY), known[1])
    with pytest.raises(PreconditionError, match=r"latest\.json was moved by somebody else meanwhile"):
        move_pointer(store, Pointer(revision="r2", digest=ANY), known[1])
    with pytest.raises(PreconditionError):
        move_pointer(store, Pointer(revision="r2", digest=ANY), None)
    assert revision_in_use(store) == "r1"


def test_a_pointer_that_cannot_be_read(store: MemoryStore) -> None:
    store.write(LATEST, b'{"revision": 3}')
    with pytest.raises(InputError, match=r"memory://store/latest\.json is no pointer to a revision \(2 faults\)"):
        read_pointer(store)


def test_rollback_goes_back_step_by_step(store: MemoryStore) -> None:
    assert rollback(store).revision == "r2"
    assert revision_in_use(store) == "r2"
    assert rollback(store) == Pointer(revision="r1", digest=verify_revision(store, "r1")[1])
    with pytest.raises(NotFoundError, match="no revision was published before 'r1'"):
        rollback(store)


def test_rollback_goes_to_a_named_revision_also_forward(store: MemoryStore) -> None:
    rollback(store, "r1")
    pointer = rollback(store, "r10")
    assert (pointer.revision, pointer.previous) == ("r10", "r2")
    assert pointer.digest == verify_revision(store, "r10")[1]
    before = store.stat(LATEST)
    assert rollback(store, "r10") == pointer
    assert store.stat(LATEST) == before


def test_a_revision_that_was_never_published(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError, match="has no revision 'r3': there are r1, r2, r10"):
        rollback(store, "r3")
    assert revision_in_use(store) == "r10"


def test_a_damaged_revision_is_not_taken(store: MemoryStore) -> None:
    store.write("revisions/r2/model.safetensors", b"the weightz of r2")
    expected, found = digest_bytes(b"the weights of r2"), digest_bytes(b"the weightz of r2")
    with pytest.raises(IntegrityError, match=f"revisions/r2/model.safetensors is damaged: expected {expected}, found {found}"):
        rollback(store)
    store.delete("revisions/r2/model.safetensors")
    with pytest.raises(NotFoundError, match=r"revisions/r2/model\.safetensors"):
        rollback(store)
    store.write("revisions/r2/manifest.json", b"{}")
    with pytest.raises(IntegrityError, match=r"revisions/r2/manifest\.json is no manifest"):
        rollback(store)
    assert revision_in_use(store) == "r10"


def test_a_publication_meanwhile_is_not_undone() -> None:
    class Busy(MemoryStore):
        """Another process publishes between the reading and the moving of the pointer."""

        def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
            if key == LATEST and getattr(self, "armed", False):
                self.armed = False
                publish(self, "r3", previous="r2")
            return super().write(key, data, if_absent=if_absent, if_match=if_match)

    store = Busy()
    publish(store, "r1")
    publish(store, "r2", previous="r1")
    store.armed = True
    with pytest.raises(PreconditionError, match="was moved by somebody else"):
        rollback(store)
    assert revision_in_use(store) == "r3"
