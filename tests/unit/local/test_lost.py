"""After a failure, what was removed from the artifacts is forgotten, so that it is made again; nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autollm.contract.folder import ObjectFolder
from autollm.contract.layout import delta_attempt, delta_manifest, records
from autollm.contract.manifests import DeltaManifest, StoredFile
from autollm.local.lost import forget_lost
from autollm.plan.trainings import planned_keys, planned_trainings
from autollm.resources.facts import Existing, Prepared
from autollm.resources.metadata import Condition
from autollm.store import Store, open_store
from support.runs import make_run

DIGESTS = [f"sha256:{number:064x}" for number in range(8)]
BASE, CHUNK, SEARCH, TEST, KEY, MANIFEST, _, DATA = DIGESTS
PREPARED: dict[str, Any] = {
    "key": BASE,
    "model": {"uri": "file:///models/tiny", "digest": BASE, "dtype": "Float32", "parameters": 1},
    "manifest": DATA,
    "records": 1,
    "dropped": {},
    "chunks": [{"name": "math", "source": "math", "digest": CHUNK, "records": 1, "shapes": {"messages": 1}}],
    "search": {"digest": SEARCH, "count": 2},
    "test": {"digest": TEST, "count": 2},
    "imported": [],
}
PLANNED = planned_keys(planned_trainings(make_run().spec, Prepared.parse(PREPARED)))
EXISTING = PLANNED[0]
SPEC: dict[str, Any] = {
    "delta": "math/sft",
    "key": KEY,
    "model": {"uri": "file:///models/tiny", "digest": BASE, "dtype": "Float32"},
    "chunk": {"name": "math", "digests": [CHUNK]},
    "method": {"name": "sft", "sft": {}},
    "adapter": {"lora": {}},
    "maxTokens": 64,
    "artifacts": {"uri": "file:///artifacts"},
}
TRAINING: dict[str, Any] = {
    "apiVersion": "autollm.dev/v1alpha1",
    "kind": "DeltaTraining",
    "metadata": {"name": "demo-1"},
    "spec": SPEC,
}


class Failed:
    """A run that has failed, with everything that it relies on in its artifacts."""

    def __init__(self, root: Path) -> None:
        self.store: Store = open_store(str(root / "artifacts"))
        self.objects = ObjectFolder(root / "objects")
        self.objects.apply("AutoLLMRun", "demo", make_run(artifacts={"uri": self.store.uri}).document())
        self.objects.report(
            "AutoLLMRun", "demo", "prepared", {"prepared": PREPARED | {"existing": Existing.among(PLANNED, [EXISTING]).document()}}
        )
        self.objects.create("DeltaTraining", "demo-1", TRAINING)
        self.objects.report("DeltaTraining", "demo-1", "status", {"reused": False})
        delta = {"key": KEY, "digest": MANIFEST, "uri": f"{self.store.uri}/{delta_manifest(KEY)}"}
        self.objects.report("DeltaTraining", "demo-1", "delta", {"delta": delta})
        self.end("False")
        for key in (*map(records, (CHUNK, SEARCH, TEST)), *map(delta_manifest, (KEY, EXISTING))):
            self.store.write(key, b"{}")

    def end(self, succeeded: Any) -> None:
        """Let the run have ended so."""
        condition = Condition(
            type="Succeeded", status=succeeded, reason="Any", message="", observed_generation=1, last_transition_time="2026-01-01T00:00:00Z"
        )
        self.objects.report("AutoLLMRun", "demo", "status", {"conditions": [condition.document()]})

    def remembered(self) -> tuple[bool, bool]:
        """Forget what is lost; say whether the preparation and the delta are remembered."""
        forget_lost(self.objects, "demo")
        run, training = self.objects.read("AutoLLMRun", "demo"), self.objects.read("DeltaTraining", "demo-1")
        assert run is not None
        assert training is not None
        return "prepared" in run["status"], "delta" in training.get("status", {})


@pytest.fixture
def failed(tmp_path: Path) -> Failed:
    return Failed(tmp_path)


def test_what_is_there_is_remembered(failed: Failed) -> None:
    assert failed.remembered() == (True, True)


@pytest.mark.parametrize("digest", [CHUNK, SEARCH, TEST])
def test_a_file_of_records_that_is_gone_is_prepared_again(failed: Failed, digest: str) -> None:
    failed.store.delete(records(digest))
    assert failed.remembered() == (False, True)


def test_a_delta_of_its_own_that_is_gone_is_trained_again(failed: Failed) -> None:
    failed.store.delete(delta_manifest(KEY))
    assert failed.remembered() == (False, False)


@pytest.mark.parametrize(("key", "remembered"), [(KEY, (False, False)), (EXISTING, (False, True))])
def test_a_delta_one_of_whose_files_is_gone_is_none(failed: Failed, key: str, remembered: tuple[bool, bool]) -> None:
    prefix = delta_attempt(key, "1")
    file = StoredFile(name="delta.safetensors", digest=CHUNK, size=1)
    manifest = DeltaManifest(key=key, form="Full", base=BASE, dtype="Float32", prefix=prefix, files=[file])
    failed.store.write(prefix + file.name, b"x")
    failed.store.write(delta_manifest(key), json.dumps(manifest.document()).encode())
    assert failed.remembered() == (True, True)
    failed.store.delete(prefix + file.name)
    assert failed.remembered() == remembered


def test_a_delta_of_others_that_is_gone_is_looked_for_again(failed: Failed) -> None:
    failed.store.delete(delta_manifest(EXISTING))
    assert failed.remembered() == (False, True)


@pytest.mark.parametrize("succeeded", ["True", "Unknown"])
def test_a_run_that_has_not_failed_is_let_be(failed: Failed, succeeded: str) -> None:
    failed.store.delete(delta_manifest(KEY))
    failed.end(succeeded)
    assert failed.remembered() == (True, True)


def test_a_run_that_is_new_has_nothing_to_forget(tmp_path: Path) -> None:
    forget_lost(ObjectFolder(tmp_path / "objects"), "demo")
    assert not (tmp_path / "objects").exists()
