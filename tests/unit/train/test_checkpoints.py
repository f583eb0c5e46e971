"""Checkpoints: whole or not there, the newest alone, and rare enough to cost little."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import CurvePoint
from autollm.store.memory import MemoryStore
from autollm_runtime.train import checkpoints as checkpoints_module
from autollm_runtime.train.checkpoints import CheckpointPolicy, Checkpoints, Trained

KEY = "sha256:" + "a" * 64


def written(folder: Path, content: str) -> Path:
    (folder / "ref").mkdir(parents=True)
    (folder / "optimizer.pt").write_text(content)
    (folder / "ref" / "adapter.safetensors").write_text(content + "!")
    return folder


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = MemoryStore()
    trained = Trained(step=3, tokens=70, seconds=1.5, curve=[CurvePoint(step=3, loss=0.25)])
    Checkpoints(store, KEY, tmp_path / "one").keep(written(tmp_path / "made", "x"), trained)
    found = Checkpoints(store, KEY, tmp_path / "two").latest()
    assert found is not None
    assert found[1] == trained
    assert (found[0] / "optimizer.pt").read_text() == "x"
    assert (found[0] / "ref" / "adapter.safetensors").read_text() == "x!"


def test_a_newer_one_replaces_the_earlier(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "old"), Trained(step=1))
    checkpoints.keep(written(tmp_path / "b", "new"), Trained(step=2))
    found = checkpoints.latest()
    assert found is not None
    assert (found[0] / "optimizer.pt").read_text() == "new"
    assert len(list(store.list())) == 3


def test_one_without_its_manifest_is_not_there(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    store.delete(next(key for key in store.list() if key.endswith("manifest.json")))
    assert checkpoints.latest() is None


@pytest.mark.parametrize("name", ["optimizer.pt", "manifest.json"])
def test_a_damaged_one_counts_as_none(tmp_path: Path, name: str) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    store.write(next(key for key in store.list() if key.endswith(name)), b"y")
    assert checkpoints.latest() is None


@pytest.mark.parametrize("library", checkpoints_module.LIBRARIES)
def test_one_that_another_version_of_a_library_saved_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "old"), Trained(step=1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "version", lambda name: "0.1" if name == library else version(name))
        assert checkpoints.latest() is None
        checkpoints.keep(written(tmp_path / "b", "new"), Trained(step=2))
        found = checkpoints.latest()
        assert found is not None
        assert found[1].step == 2
        assert len(list(store.list())) == 3, "what nobody goes on from is gone"
    assert checkpoints.latest() is None


def test_one_that_does_not_say_what_saved_it_counts_as_none(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    place = next(key for key in store.list() if key.endswith("manifest.json"))
    manifest = json.loads(store.read(place))
    del manifest["versions"]
    store.write(place, json.dumps(manifest).encode())
    assert checkpoints.latest() is None


def poison(store: MemoryStore, **fields: str) -> None:
    """Have the manifest name another file or prefix, whose bytes are there under that name and have the digest it says."""
    place = next(key for key in store.list() if key.endswith("manifest.json"))
    manifest = json.loads(store.read(place))
    file = manifest["files"][0]
    evil = b"evil"
    manifest["prefix"] = fields.get("prefix", manifest["prefix"])
    file |= {"name": fields.get("name", file["name"]), "digest": digest_bytes(evil), "size": len(evil)}
    store._objects[manifest["prefix"] + file["name"]] = evil  # past the store's own check of keys
    store.write(place, json.dumps(manifest).encode())


@pytest.mark.parametrize("name", ["/{0}/outside", "../../outside", "a/../../../outside", "a//b", "."])
def test_a_poisoned_manifest_writes_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    store = MemoryStore()
    scratch = tmp_path / "scratch"
    checkpoints = Checkpoints(store, KEY, scratch)
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    poison(store, name=name.format(str(tmp_path).strip("/")))
    assert checkpoints.latest() is None
    assert not (tmp_path / "outside").exists()


def test_a_poisoned_manifest_removes_nothing_of_others(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path / "scratch")
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    poison(store, prefix="deltas/another/", name="manifest.json")
    checkpoints.keep(written(tmp_path / "b", "y"), Trained(step=2))
    assert store.stat("deltas/another/manifest.json") is not None


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, KEY, tmp_path)
    checkpoints.keep(written(tmp_path / "a", "x"), Trained(step=1))
    checkpoints.remove()
    checkpoints.remove()
    assert list(store.list()) == []


def test_saving_takes_no_more_than_its_share_of_the_time() -> None:
    policy = CheckpointPolicy(seconds=60, share=0.05)
    assert not policy.due(59, cost=0)
    assert policy.due(60, cost=1)
    assert not policy.due(60, cost=10)
    assert policy.due(200, cost=10)
