"""Publishing with a tiny model: one revision whatever happens, believed only when whole, loaded without anything of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import autollm_runtime.publish.pin
import autollm_runtime.publish.revision
import autollm_runtime.publish.run
from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DataManifest, DeltaManifest, Pointer, RevisionManifest, SourceCounts
from autollm.contract.tasks import MergedDelta, PinTask, PublishTask
from autollm.errors import InputError, IntegrityError, Interrupted
from autollm.resources.delta_training import LoadedModel
from autollm.resources.facts import ItemsFact, PublishedRevision
from autollm.resources.run import Artifacts, Keep, RunSpec
from autollm.resources.run_status import Interval, ResultRow, ScoredOn
from autollm.store import NotFoundError, Store, open_store
from autollm.store.revisions import list_revisions, move_pointer, read_pointer, verify_revision
from autollm_runtime.delta import publish_delta, read_delta
from autollm_runtime.merge import ResidentMerge, stream_merge
from autollm_runtime.model.folder import inspect_folder
from autollm_runtime.publish import run_pin, run_publish
from autollm_runtime.publish.revision import claim_revision
from autollm_runtime.publish.stopping import write_stops
from autollm_runtime.worker.context import Context
from support.adapters import write_adapter
from support.tiny_model import make_tiny_model

MODULES = {"model.layers.0.self_attn.q_proj": (32, 32), "model.layers.1.mlp.up_proj": (64, 32)}
WEIGHTS = {"math/sft": Decimal("0.5"), "code/sft": Decimal("-0.25")}


@dataclass
class Heard:
    """Reports that are only remembered."""

    revisions: list[PublishedRevision] = field(default_factory=list)

    def published(self, run: str, fact: PublishedRevision) -> None:
        self.revisions.append(fact)


@dataclass
class Place:
    """Artifacts with a base, two deltas and prepared data, and how to publish from them."""

    folder: Path
    base: Path
    store: Store
    data: str
    heard: Heard = field(default_factory=Heard)

    def deltas(self) -> None:
        """Put the deltas of the base into the artifacts, in place of those of another."""
        digest = inspect_folder(self.base, "base").digest()
        for seed, name in enumerate(WEIGHTS):
            key = digest_bytes(name.encode())
            self.store.delete(layout.delta_manifest(key))
            manifest = DeltaManifest(key=key, form="Lora", base=digest, dtype="BFloat16", prefix="", files=[])
            publish_delta(self.store, key, write_adapter(self.folder / "adapters" / str(seed), MODULES, seed=seed), manifest)

    def task(
        self, trial: str = "demo-1", keep: int | None = None, pin: str | None = None, replaces: str | None = None, **weights: Decimal
    ) -> PublishTask:
        chosen = WEIGHTS | weights
        spec = {
            "model": {"uri": str(self.base)},
            "artifacts": {"uri": self.store.uri},
            "sources": [{"name": "math", "file": {"uri": "math.jsonl"}}],
            "training": {"methods": [{"name": "sft", "sft": {}}]},
            "publish": {"pin": pin} if pin else {},
        }
        row = ResultRow(
            name="auto",
            weights=chosen,
            search=ScoredOn(score=Decimal("0.6"), standard_error=Decimal("0.02"), items=40),
            test=ScoredOn(score=Decimal("0.55"), standard_error=Decimal("0.03"), items=50),
        )
        other = ResultRow(
            name="base", weights={}, test=row.test, versus=Interval(difference=Decimal("0.2"), low=Decimal("0.1"), high=Decimal("0.3"))
        )
        return PublishTask(
            id="publish-1",
            run="demo",
            model=LoadedModel(uri=self.base.as_uri(), digest=inspect_folder(self.base, "base").digest(), dtype="BFloat16"),
            deltas=[MergedDelta(name=name, key=digest_bytes(name.encode()), weight=weight) for name, weight in sorted(chosen.items())],
            weights=chosen,
            trial=trial,
            results=[row, other],
            data=self.data,
            spec=RunSpec.parse(spec),
            artifacts=Artifacts(uri=self.store.uri),
            replaces=replaces,
            keep=Keep(revisions=keep) if keep else None,
        )

    def context(self) -> Context:
        return Context(reports=self.heard, trials=None, scratch=self.folder / "scratch", stop=threading.Event(), threads=1)  # type: ignore[arg-type]  # publishing uses one verb of one port

    def publish(self, **changes: Any) -> PublishedRevision:
        run_publish(self.task(**changes), self.context())
        return self.heard.revisions[-1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Place:
    store = open_store(str(tmp_path / "artifacts"))
    items = ItemsFact(digest=digest_bytes(b"items"), count=4)
    counts = [SourceCounts(name="math", read=10, kept={"Train": 6, "Search": 2, "Test": 1}, dropped={"Duplicate": 1})]
    data = DataManifest(run="demo", key=digest_bytes(b"key"), sources=counts, chunks=[], search=items, test=items)
    written = json.dumps(data.document()).encode()
    store.write(layout.data_manifest(digest_bytes(written)), written)
    made = Place(tmp_path, base, store, digest_bytes(written))
    made.deltas()
    return made


def test_a_revision_is_what_was_scored_and_says_where_it_comes_from(place: Place) -> None:
    fact = place.publish()
    assert fact.revision == "r1"
    manifest, digest = verify_revision(place.store, "r1")
    assert (fact.digest, fact.base, fact.weights) == (digest, place.task().model.digest, WEIGHTS)
    assert [delta.key for delta in manifest.lineage] == [digest_bytes(name.encode()) for name in sorted(WEIGHTS)]
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert (pointer[0].revision, pointer[0].digest, pointer[0].previous) == ("r1", digest, None)
    scored = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.bfloat16)
    stored = {name: value.detach().clone() for name, value in AutoModelForCausalLM.from_pretrained(place.base).named_parameters()}
    deltas = [read_delta(place.store, name, digest_bytes(name.encode()), base=fact.base, scratch=place.folder) for name in WEIGHTS]
    ResidentMerge(scored, deltas, stored).apply({name: float(weight) for name, weight in WEIGHTS.items()})
    published = AutoModelForCausalLM.from_pretrained(place.folder / "artifacts" / "revisions" / "r1")
    assert all(torch.equal(left, right) for left, right in zip(published.parameters(), scored.parameters(), strict=True))


def test_the_card_tells_weights_scores_data_and_how_to_load(place: Place) -> None:
    place.publish()
    card = place.store.read("revisions/r1/README.md").decode()
    assert "| `code/sft` | -0.25 |" in card
    assert "| `base` |  | 0.5500 ± 0.0300 | +0.2000 [+0.1000, +0.3000] |" in card
    assert "| `math` | 10 | 6 | 2 | 1 | 1 Duplicate |" in card
    assert f'from_pretrained("{place.folder}/artifacts/revisions/r1")' in card


def test_it_loads_in_a_process_that_has_nothing_of_ours(place: Place) -> None:
    place.publish()
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer; folder = sys.argv[1]\n"
        "tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)\n"
        "asked = [{'role': 'user', 'content': 'hi'}]\n"
        "ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors='pt')\n"
        "model.generate(**ids, max_new_tokens=2)\n"
        "assert not any(name.startswith('autollm') for name in sys.modules); print(model.dtype)"
    )
    folder = str(place.store.local_path("revisions/r1"))
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False, cwd=place.folder)
    assert done.stdout.strip() == "torch.bfloat16", done.stderr


@pytest.mark.parametrize(
    ("generation", "expected"),
    # The tiny template ends a turn with token 2, <|im_end|>, which is the tokenizer's end token too.
    [({"eos_token_id": 0, "top_p": 0.9}, [0, 2]), ({"eos_token_id": [5, 0]}, [5, 0, 2]), ({}, [2]), (None, [2]), ({"eos_token_id": 2}, 2)],
)
def test_what_is_served_stops_where_answers_were_trained_to_end(
    base: Path, tmp_path: Path, generation: dict[str, Any] | None, expected: int | list[int]
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "model"))
    (folder / "generation_config.json").unlink()
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    else:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    write_stops(folder)
    written = json.loads((folder / "generation_config.json").read_text())
    assert written["eos_token_id"] == expected
    assert (generation or {}) | {"eos_token_id": expected} == {name: written[name] for name in {*(generation or {}), "eos_token_id"}}
    assert AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id == expected


def test_an_end_of_turn_beside_the_end_of_sequence_is_published(base: Path, place: Place) -> None:
    place.base = Path(shutil.copytree(base, place.folder / "older"))
    settings = json.loads((place.base / "tokenizer_config.json").read_text())
    (place.base / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|endoftext|>"}))
    (place.base / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    place.deltas()
    place.publish()
    assert json.loads(place.store.read("revisions/r1/generation_config.json"))["eos_token_id"] == [0, 2]


def test_a_model_that_would_not_stop_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(folder: Path) -> None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))

    monkeypatch.setattr(autollm_runtime.publish.run, "write_stops", forgetful)
    with pytest.raises(InputError, match=r"lacks the tokens \[2\]") as caught:
        place.publish()
    assert caught.value.reason == "NotVerified"
    assert list_revisions(place.store) == []


def test_the_same_publication_again_is_the_same_revision(place: Place) -> None:
    assert place.publish() == place.publish()
    assert list_revisions(place.store) == ["r1"]


def test_another_winner_is_the_next_revision_and_remembers_the_one_before(place: Place) -> None:
    place.publish()
    assert place.publish(trial="demo-2").revision == "r2"
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert (pointer[0].revision, pointer[0].previous) == ("r2", "r1")


def test_a_winner_that_comes_back_is_published_anew_and_in_use(place: Place) -> None:
    place.publish()
    place.publish(trial="demo-2", replaces="r1")
    again = place.publish(replaces="r2")
    assert again == place.publish(replaces="r2")
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert (again.revision, pointer[0].revision, pointer[0].previous) == ("r3", "r3", "r2")
    assert pointer[0].digest == again.digest


class Killed(BaseException):
    """Ends a task the way SIGKILL does: nothing catches it."""


class Mortal:
    """A store in which the process dies just before, or just after, the n-th change."""

    def __init__(self, store: Store, changes: int, after: bool) -> None:
        self.store, self.left, self.after = store, changes, after

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.store, name)
        return self._mortal(verb) if name in {"write", "upload", "delete"} else verb

    def _mortal(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Killed
            result = verb(*arguments, **options)
            if self.left == 0:
                raise Killed
            return result

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_change_it_publishes_once_and_only_whole_revisions_are_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr(autollm_runtime.publish.run, "verify_merge", lambda *_: None)  # shown elsewhere; here it only takes time
    place.publish(trial="first")
    for changes in range(1, 100):
        trial = f"{'after' if after else 'before'}-{changes}"
        with monkeypatch.context() as patch:
            patch.setattr(autollm_runtime.publish.run, "open_store", lambda *_, n=changes, **__: Mortal(place.store, n, after))
            try:
                place.publish(trial=trial, keep=2)
                survived = True
            except Killed:
                survived = False
        pointer = read_pointer(place.store)
        assert pointer is not None
        assert verify_revision(place.store, pointer[0].revision)[1] == pointer[0].digest
        place.publish(trial=trial, keep=2)
        manifests = [verify_revision(place.store, revision)[0] for revision in list_revisions(place.store)]
        assert [manifest.trial for manifest in manifests].count(trial) == 1
        assert manifests[-1].trial == trial
        assert len(manifests) == 2
        if survived:
            break
    assert changes > 8


def test_two_publishers_at_once_take_two_numbers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claim_revision

    def raced(store: Store, identity: str) -> Any:
        monkeypatch.setattr(autollm_runtime.publish.run, "claim_revision", claim)
        mine = claim(store, identity)
        place.publish(trial="the-other")
        return mine

    monkeypatch.setattr(autollm_runtime.publish.run, "claim_revision", raced)
    assert place.publish(trial="mine").revision == "r1"
    assert list_revisions(place.store) == ["r1", "r2"]
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert pointer[0].revision == "r2"  # the newer one stays


def test_old_revisions_go_but_never_the_pinned_one(place: Place) -> None:
    for number in range(1, 5):
        place.publish(trial=f"demo-{number}", keep=2, pin="r1")
    assert list_revisions(place.store) == ["r1", "r3", "r4"]
    assert not list(place.store.list("revisions/r2/"))


@pytest.mark.parametrize(("days", "left"), [(6, ["revisions/r2/claim.json", "revisions/r2/model.safetensors"]), (8, [])])
def test_what_was_begun_long_ago_and_never_finished_goes(place: Place, days: int, left: list[str]) -> None:
    place.publish(trial="demo-1", keep=2)
    begun = datetime.now(UTC) - timedelta(days=days)
    place.store.write("revisions/r2/claim.json", json.dumps({"identity": "sha256:0", "created": begun.isoformat()}).encode())
    place.store.write("revisions/r2/model.safetensors", b"half")
    place.publish(trial="demo-3", keep=2)
    assert list_revisions(place.store) == ["r1", "r3"]
    assert sorted(place.store.list("revisions/r2/")) == left


def test_a_publication_that_meets_the_pin_that_took_its_place_leaves_latest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish()
    place.publish(trial="demo-2")
    context, moved = place.context(), move_pointer

    def overtaken(store: Store, pointer: Pointer, etag: str | None) -> str:
        context.stop.set()
        run_pin(PinTask(id="pin", run="demo", revision="r1", artifacts=Artifacts(uri=place.store.uri)), place.context())
        return moved(store, pointer, etag)

    monkeypatch.setattr(autollm_runtime.publish.revision, "move_pointer", overtaken)
    with pytest.raises(Interrupted):
        run_publish(place.task(trial="demo-3"), context)
    found = read_pointer(place.store)
    assert found is not None
    assert found[0].revision == "r1"


def test_a_pin_moves_latest_back_and_reports_what_it_holds(place: Place) -> None:
    first = place.publish()
    place.publish(trial="demo-2")
    run_pin(PinTask(id="pin", run="demo", revision="r1", artifacts=Artifacts(uri=place.store.uri)), place.context())
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert pointer[0].revision == "r1"
    assert place.heard.revisions[-1] == first.model_copy(update={"task": "pin"})


def test_asked_to_stop_before_its_report_it_leaves_that_to_the_next_attempt(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish()
    place.publish(trial="demo-2")
    heard = len(place.heard.revisions)
    context = place.context()

    def stopping(store: Store, revision: str) -> Any:
        context.stop.set()
        return verify_revision(store, revision)

    monkeypatch.setattr(autollm_runtime.publish.pin, "verify_revision", stopping)
    task = PinTask(id="pin", run="demo", revision="r1", artifacts=Artifacts(uri=place.store.uri))
    with pytest.raises(Interrupted):
        run_pin(task, context)

    def pruning(*revisions: Any) -> None:
        context.stop.set()

    monkeypatch.setattr(autollm_runtime.publish.run, "prune_revisions", pruning)
    context = place.context()
    with pytest.raises(Interrupted):
        run_publish(place.task(trial="demo-3", keep=2), context)
    assert len(place.heard.revisions) == heard
    run_pin(task, place.context())
    assert place.heard.revisions[-1].revision == "r1"


def test_a_pin_on_a_missing_or_damaged_revision_leaves_latest(place: Place) -> None:
    place.publish()
    place.publish(trial="demo-2")
    artifacts = Artifacts(uri=place.store.uri)
    with pytest.raises(NotFoundError, match="'r9'"):
        run_pin(PinTask(id="pin", run="demo", revision="r9", artifacts=artifacts), place.context())
    place.store.write("revisions/r1/config.json", b"{}")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        run_pin(PinTask(id="pin", run="demo", revision="r1", artifacts=artifacts), place.context())
    pointer = read_pointer(place.store)
    assert pointer is not None
    assert pointer[0].revision == "r2"


def test_a_merge_that_is_not_what_was_scored_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = stream_merge

    def wrong(base: Path, deltas: Any, weights: dict[str, float], *rest: Any, **options: Any) -> Any:
        return merge(base, deltas, {name: weight * 1.05 for name, weight in weights.items()}, *rest, **options)

    monkeypatch.setattr(autollm_runtime.publish.run, "stream_merge", wrong)
    with pytest.raises(InputError, match="differs in model") as caught:
        place.publish()
    assert caught.value.reason == "NotVerified"
    assert list_revisions(place.store) == []
    assert read_pointer(place.store) is None


def test_a_flipped_byte_in_a_delta_stops_the_publication(place: Place) -> None:
    key = next(key for key in place.store.list("deltas/") if key.endswith("adapter_model.safetensors"))
    data = bytearray(place.store.read(key))
    data[-1] ^= 1
    place.store.write(key, bytes(data))
    with pytest.raises(IntegrityError):
        place.publish()
    assert list_revisions(place.store) == []


def test_the_manifest_reads_back(place: Place) -> None:
    place.publish()
    manifest = RevisionManifest.model_validate_json(place.store.read("revisions/r1/manifest.json"))
    assert {file.name for file in manifest.files} >= {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
    }
    assert manifest.results[0].name == "auto"
    assert manifest.versions["transformers"]
