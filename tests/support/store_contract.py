"""What every store does, as tests: a class of them takes the fixture `store`, an empty store that can be written."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from autollm.contract.digests import digest_bytes
from autollm.errors import InputError, IntegrityError
from autollm.store.objects import download_verified, objects_at, read_verified
from autollm.store.port import NotFoundError, PreconditionError, Store
from autollm.store.probe import probe_store

ESCAPES = ["", "/etc/passwd", "../other", "a/../../other", "a//b", "a/", "./a", "a/.", "a\x00b", "a\nb", ".autollm-lock", "a/.autollm-x"]


class StoreContract:
    """Nothing here knows which store it tests."""

    def test_what_is_written_is_read(self, store: Store) -> None:
        stat = store.write("records/a.jsonl", b"one\ntwo\n")
        assert stat.size == 8
        assert store.stat("records/a.jsonl") == stat
        assert store.read("records/a.jsonl") == b"one\ntwo\n"
        with store.open("records/a.jsonl") as file:
            assert list(file) == [b"one\n", b"two\n"]

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        assert store.write("empty", b"").size == 0
        assert store.read("empty") == b""
        assert list(store.list()) == ["empty"]

    def test_a_stream_can_seek(self, store: Store) -> None:
        store.write("a", bytes(range(256)) * 8192)  # larger than any buffer
        with store.open("a") as file:
            assert file.seek(-3, io.SEEK_END) == 2097149
            assert file.read() == b"\xfd\xfe\xff"
            assert file.seek(1_500_000) == 1_500_000
            assert file.read(2) == bytes([1_500_000 % 256, 1_500_001 % 256])
            assert file.tell() == 1_500_002
            file.seek(0, io.SEEK_END)
            assert file.read(1) == b""

    def test_a_later_write_replaces_and_changes_the_etag(self, store: Store) -> None:
        first, second = store.write("a", b"1"), store.write("a", b"2")
        assert first.etag != second.etag
        assert store.read("a") == b"2"

    def test_what_is_not_there_is_none_or_not_found(self, store: Store, tmp_path: Path) -> None:
        store.write("folder/a", b"1")
        for key in ("b", "folder", "folder/a/b", "folder/b"):
            assert store.stat(key) is None
            with pytest.raises(NotFoundError, match=f"{store.uri}/{key}"):
                store.read(key)
            with pytest.raises(NotFoundError):
                store.open(key)
            with pytest.raises(NotFoundError):
                store.download(key, tmp_path / "target" / "b")
        assert not list(tmp_path.glob("target/*"))

    def test_deleting_twice_is_fine(self, store: Store) -> None:
        store.write("folder/a", b"1")
        store.delete("folder/a")
        store.delete("folder/a")
        assert store.stat("folder/a") is None
        assert list(store.list()) == []

    def test_keys_come_in_order_and_by_prefix(self, store: Store) -> None:
        keys = ["a-b/x", "a.txt", "a/b/c", "a/b.txt", "a/c", "ab", "b/ä", "b/z"]
        for key in reversed(keys):
            store.write(key, b"")
        assert list(store.list()) == sorted(keys)
        assert list(store.list("a/")) == ["a/b.txt", "a/b/c", "a/c"]
        assert list(store.list("a/b")) == ["a/b.txt", "a/b/c"]
        assert list(store.list("a/b/")) == ["a/b/c"]
        assert list(store.list("b/ä")) == ["b/ä"]
        assert list(store.list("nothing/")) == []

    def test_a_location_is_an_object_or_a_folder(self, store: Store) -> None:
        for key in ("data/a.jsonl", "data/b.jsonl", "data-2/c.jsonl"):
            store.write(key, b"")
        assert list(objects_at(store, "data/a.jsonl")) == ["data/a.jsonl"]
        assert list(objects_at(store, "data")) == ["data/a.jsonl", "data/b.jsonl"]
        with pytest.raises(NotFoundError, match="dat: check"):
            list(objects_at(store, "dat"))

    def test_if_absent_keeps_what_is_there(self, store: Store) -> None:
        store.write("a", b"1", if_absent=True)
        with pytest.raises(PreconditionError, match="exists already"):
            store.write("a", b"2", if_absent=True)
        assert store.read("a") == b"1"

    def test_if_match_replaces_only_what_was_read(self, store: Store) -> None:
        first = store.write("a", b"1")
        second = store.write("a", b"2", if_match=first.etag)
        with pytest.raises(PreconditionError, match="has changed"):
            store.write("a", b"3", if_match=first.etag)
        store.delete("a")
        with pytest.raises(PreconditionError, match="has changed"):
            store.write("a", b"3", if_match=second.etag)
        assert store.stat("a") is None

    def test_of_concurrent_makers_one_wins(self, store: Store) -> None:
        winners = _race(lambda data: store.write("manifest", data, if_absent=True))
        assert len(winners) == 1
        assert store.read("manifest") == winners[0]

    def test_of_concurrent_movers_one_wins(self, store: Store) -> None:
        etag = store.write("latest", b"start").etag
        winners = _race(lambda data: store.write("latest", data, if_match=etag))
        assert len(winners) == 1
        assert store.read("latest") == winners[0]

    def test_files_go_up_and_come_down(self, store: Store, tmp_path: Path) -> None:
        data = bytes(range(256)) * 4096
        (tmp_path / "up").write_bytes(data)
        assert store.upload(tmp_path / "up", "models/m.safetensors").size == len(data)
        target = tmp_path / "new" / "down"
        store.download("models/m.safetensors", target)
        assert target.read_bytes() == data
        assert [path.name for path in target.parent.iterdir()] == ["down"]

    def test_a_file_that_is_missing_is_named(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="missing-file"):
            store.upload(tmp_path / "missing-file", "a")
        assert store.stat("a") is None

    @pytest.mark.parametrize("key", ESCAPES)
    def test_keys_that_leave_the_prefix_are_refused(self, store: Store, key: str, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(b"1")
        for act in (
            lambda: store.read(key),
            lambda: store.open(key),
            lambda: store.stat(key),
            lambda: store.write(key, b"1"),
            lambda: store.upload(tmp_path / "up", key),
            lambda: store.download(key, tmp_path / "down"),
            lambda: store.delete(key),
        ):
            with pytest.raises(InputError) as caught:
                act()
            assert caught.value.reason == "InvalidKey"
        assert list(store.list()) == []

    def test_a_flipped_byte_is_found(self, store: Store, tmp_path: Path) -> None:
        digest = digest_bytes(b"the weights")
        store.write("a", b"the weights")
        assert read_verified(store, "a", digest) == b"the weights"
        download_verified(store, "a", digest, tmp_path / "good")
        assert (tmp_path / "good").read_bytes() == b"the weights"
        store.write("a", b"the weightz")
        found = digest_bytes(b"the weightz")
        with pytest.raises(IntegrityError, match=f"{store.uri}/a is damaged: expected {digest}, found {found}"):
            read_verified(store, "a", digest)
        with pytest.raises(IntegrityError, match=found):
            download_verified(store, "a", digest, tmp_path / "bad")
        assert [path.name for path in tmp_path.iterdir()] == ["good"]

    def test_it_passes_the_probe_and_nothing_stays(self, store: Store) -> None:
        probe_store(store)
        assert list(store.list()) == []


def _race(act: Callable[[bytes], object], writers: int = 8) -> list[bytes]:
    barrier = Barrier(writers)

    def write(number: int) -> bytes | None:
        data = f"writer {number}".encode()
        barrier.wait()
        try:
            act(data)
        except PreconditionError:
            return None
        return data

    with ThreadPoolExecutor(writers) as pool:
        return [data for data in pool.map(write, range(writers)) if data is not None]
