"""Deltas in the artifacts: one wins, digests are checked, another base's is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DeltaManifest
from autollm.errors import InputError, IntegrityError
from autollm.store import Stat, Store
from autollm.store.memory import MemoryStore
from autollm_runtime.delta import find_delta, publish_delta, read_delta
from autollm_runtime.delta.artifacts import read_manifest
from autollm_runtime.delta.full import FULL_WEIGHTS, read_full, write_full
from support.adapters import write_adapter

KEY, BASE = digest_bytes(b"key"), digest_bytes(b"base")
MANIFEST = DeltaManifest(key=KEY, form="Lora", base=BASE, dtype="Float32", prefix="", files=[])


def write_differences(folder: Path, value: float) -> Path:
    folder.mkdir(exist_ok=True)
    differences = {"model.bias": torch.full((3,), value), "model.up.weight": torch.arange(6.0).view(2, 3)}
    write_full(folder / FULL_WEIGHTS, differences.items(), {name: tuple(value.shape) for name, value in differences.items()})
    return folder


def test_a_delta_is_found_and_read_as_it_was_published(tmp_path: Path) -> None:
    store = MemoryStore()
    assert find_delta(store, KEY) is None
    files = write_differences(write_adapter(tmp_path / "made", {"model.down": (3, 2)}), 2.5)
    (files / "training_args.bin").write_bytes(b"not part of a delta")
    fact = publish_delta(store, KEY, files, MANIFEST)
    assert find_delta(store, KEY) == fact
    delta = read_delta(store, "math/sft", KEY, base=BASE, scratch=tmp_path / "scratch")
    assert delta.shapes == {"model.bias": (3,), "model.down.weight": (3, 2), "model.up.weight": (2, 3)}
    assert delta.full["model.bias"].tolist() == [2.5] * 3
    assert delta.low_rank["model.down.weight"].scale == 2.0
    assert not any(key.endswith(".bin") for key in store.list())


def test_the_first_of_two_publishers_wins_and_nothing_of_the_other_stays(tmp_path: Path) -> None:
    class Raced(MemoryStore):
        """Another worker publishes just before this one's manifest."""

        raced = False

        def upload(self, path: Path, key: str):  # type: ignore[no-untyped-def]  # the port's signature
            if not self.raced:
                self.raced = True
                publish_delta(self, KEY, write_differences(tmp_path / "first", 1.0), MANIFEST)
            return super().upload(path, key)

    store = Raced()
    fact = publish_delta(store, KEY, write_differences(tmp_path / "second", 2.0), MANIFEST)
    assert fact == find_delta(store, KEY)
    assert read_delta(store, "d", KEY, base=BASE, scratch=tmp_path).full["model.bias"].tolist() == [1.0] * 3
    assert len(list(store.list("deltas/"))) == 2


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_one_of_whose_files_is_gone_is_none_and_is_made_again(tmp_path: Path, name: str) -> None:
    """A rule of the bucket that removes what is old takes the files first: the manifest is the last of them."""
    store = MemoryStore()
    lora = write_adapter(tmp_path / "made", {"model.down": (3, 2)})
    publish_delta(store, KEY, lora, MANIFEST)
    store.delete(read_manifest(store, KEY).prefix + name)
    assert find_delta(store, KEY) is None
    with pytest.raises(IntegrityError, match=rf"{name} is missing.*remove {store.uri}/{layout.delta_manifest(KEY)}.*retry --look-again"):
        read_delta(store, "math/sft", KEY, base=BASE, scratch=tmp_path / "early")
    fact = publish_delta(store, KEY, lora, MANIFEST)
    assert find_delta(store, KEY) == fact
    assert read_delta(store, "math/sft", KEY, base=BASE, scratch=tmp_path / "late").shapes == {"model.down.weight": (3, 2)}


def test_of_two_that_make_one_again_the_first_wins(tmp_path: Path) -> None:
    class Raced(MemoryStore):
        """Another worker publishes just before this one's manifest."""

        raced = True

        def upload(self, path: Path, key: str) -> Stat:
            if not self.raced:
                self.raced = True
                publish_delta(self, KEY, write_differences(tmp_path / "first", 1.0), MANIFEST)
            return super().upload(path, key)

    store = Raced()
    publish_delta(store, KEY, write_differences(tmp_path / "lost", 3.0), MANIFEST)
    store.delete(read_manifest(store, KEY).prefix + FULL_WEIGHTS)
    store.raced = False
    fact = publish_delta(store, KEY, write_differences(tmp_path / "second", 2.0), MANIFEST)
    assert fact == find_delta(store, KEY)
    assert read_delta(store, "d", KEY, base=BASE, scratch=tmp_path).full["model.bias"].tolist() == [1.0] * 3
    assert len(list(store.list("deltas/"))) == 2


def test_a_manifest_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    """Whoever reads it says so; it may be that of a newer version."""
    store = MemoryStore()
    store.write(layout.delta_manifest(KEY), b"{}")
    fact = publish_delta(store, KEY, write_differences(tmp_path / "made", 1.0), MANIFEST)
    assert (fact, store.read(layout.delta_manifest(KEY))) == (find_delta(store, KEY), b"{}")


def flip(store: Store, key: str) -> None:
    data = bytearray(store.read(key))
    data[-1] ^= 1
    store.write(key, bytes(data))


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    store = MemoryStore()
    publish_delta(store, KEY, write_differences(tmp_path / "made", 1.0), MANIFEST)
    flip(store, read_manifest(store, KEY).prefix + FULL_WEIGHTS)
    with pytest.raises(IntegrityError, match=FULL_WEIGHTS):
        read_delta(store, "d", KEY, base=BASE, scratch=tmp_path / "scratch")


def test_a_manifest_of_another_delta_is_refused(tmp_path: Path) -> None:
    store, other = MemoryStore(), digest_bytes(b"other")
    publish_delta(store, KEY, write_differences(tmp_path / "made", 1.0), MANIFEST)
    store.write(layout.delta_manifest(other), store.read(layout.delta_manifest(KEY)))
    with pytest.raises(IntegrityError, match="belongs to the delta"):
        read_manifest(store, other)


def test_a_delta_of_another_base_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    publish_delta(store, KEY, write_differences(tmp_path / "made", 1.0), MANIFEST)
    with pytest.raises(InputError, match="made from the base") as caught:
        read_delta(store, "d", KEY, base=digest_bytes(b"another"), scratch=tmp_path)
    assert caught.value.reason == "OtherBase"


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_by_its_tensor(tmp_path: Path, value: float) -> None:
    store = MemoryStore()
    publish_delta(store, KEY, write_differences(tmp_path / "made", value), MANIFEST)
    with pytest.raises(InputError, match=r"model\.bias holds NaN") as caught:
        read_delta(store, "d", KEY, base=BASE, scratch=tmp_path / "scratch")
    assert caught.value.reason == "NonFinite"


def test_differences_are_written_one_by_one_and_read_back_exactly(tmp_path: Path) -> None:
    values = {"a": torch.randn(3, 5), "b": torch.randn(1), "c": torch.zeros(0, 4)}
    write_full(tmp_path / FULL_WEIGHTS, values.items(), {name: tuple(value.shape) for name, value in values.items()})
    read = read_full(tmp_path / FULL_WEIGHTS)
    assert read.keys() == values.keys()
    assert all(torch.equal(read[name], value) for name, value in values.items())


def test_a_folder_without_a_delta_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no delta to publish"):
        publish_delta(MemoryStore(), KEY, tmp_path, MANIFEST)


def test_a_poisoned_manifest_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    store = MemoryStore()
    publish_delta(store, KEY, write_differences(tmp_path / "made", 1.0), MANIFEST)
    place = layout.delta_manifest(KEY)
    manifest = json.loads(store.read(place))
    outside = tmp_path / "outside"
    (file,) = manifest["files"]
    evil = store.read(manifest["prefix"] + file["name"])
    # The key is one that every store takes, the path of that name is an absolute one.
    manifest["prefix"], file["name"] = "deltas", str(outside)
    store.write(f"deltas{outside}", evil)
    store.write(place, json.dumps(manifest).encode())
    with pytest.raises(IntegrityError):
        read_delta(store, "math/sft", KEY, base=BASE, scratch=tmp_path / "scratch")
    assert not outside.exists()
