"""Which deltas a run needs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from autollm.contract.tasks import PrepareTask
from autollm.plan.trainings import planned_trainings
from autollm.resources.facts import ChunkFact, Prepared
from autollm.resources.run import RunSpec
from support import synthetic
from support.runs import make_run

SFT = {"name": "sft", "sft": {}}
DPO = {"name": "dpo", "dpo": {}}
CPT = {"name": "cpt", "pretrain": {}}


def facts(spec: RunSpec, *chunks: ChunkFact) -> Prepared:
    task = PrepareTask(id="prepare", run="demo", key=chunks[0].digest, spec=spec)
    return synthetic.prepared(task).model_copy(update={"chunks": list(chunks)})


def names(*chunks: ChunkFact, **changes: Any) -> list[str]:
    spec = make_run(**changes).spec
    return [training.delta for training in planned_trainings(spec, facts(spec, *chunks))]


MESSAGES = synthetic.chunk("math", messages=10)
PREFERENCE = synthetic.chunk("chats", preference=10)
TEXT = synthetic.chunk("books", text=10)
MIXED = synthetic.chunk("mixed", messages=5, text=5)


@pytest.mark.parametrize(
    ("chunk", "trained"),
    [(MESSAGES, ["math/sft"]), (PREFERENCE, ["chats/sft", "chats/dpo"]), (TEXT, ["books/cpt"]), (MIXED, ["mixed/sft", "mixed/cpt"])],
)
def test_a_method_is_tried_on_every_chunk_whose_records_it_can_use(chunk: ChunkFact, trained: list[str]) -> None:
    assert names(chunk, training={"methods": [SFT, DPO, CPT]}) == trained


def test_a_method_keeps_to_its_sources() -> None:
    assert names(MESSAGES, PREFERENCE, training={"methods": [{**SFT, "sources": ["math"]}]}) == ["math/sft"]


def test_a_method_that_continues_another_is_planned_where_the_other_fits() -> None:
    after_text = {**DPO, "after": "cpt"}
    assert names(PREFERENCE, training={"methods": [CPT, after_text]}) == []
    assert names(PREFERENCE, training={"methods": [{**DPO, "after": "sft"}, SFT]}) == ["chats/dpo", "chats/sft"]


def test_a_chain_continues_each_time_the_one_before() -> None:
    spec = make_run(training={"methods": [SFT, {**DPO, "after": "sft"}, {"name": "more", "dpo": {}, "after": "dpo"}]}).spec
    sft, dpo, more = planned_trainings(spec, facts(spec, PREFERENCE))
    assert (sft.start, dpo.start, more.start) == (None, sft.key, dpo.key)


def test_methods_in_a_circle_are_planned_for_nothing() -> None:
    circle = [{**SFT, "after": "dpo"}, {**DPO, "after": "sft"}]
    assert names(PREFERENCE, training={"methods": circle}) == []


def test_train_on_all_is_the_first_method_that_starts_from_the_base_on_all_chunks_it_fits() -> None:
    spec = make_run(training={"methods": [{**DPO, "after": "sft"}, SFT]}, baselines={"trainOnAll": True}).spec
    last = planned_trainings(spec, facts(spec, MESSAGES, TEXT, PREFERENCE))[-1]
    assert (last.delta, last.spec.method.name) == ("all", "sft")
    assert last.spec.chunk.digests == [MESSAGES.digest, PREFERENCE.digest]


class TestKeys:
    def key(self, chunk: ChunkFact = MESSAGES, **changes: Any) -> str:
        spec = make_run(**changes).spec
        return planned_trainings(spec, facts(spec, chunk))[0].key

    @pytest.mark.parametrize(
        "changes",
        [
            {"training": {"methods": [{"name": "sft", "sft": {"epochs": 2}}]}},
            {"training": {"adapter": {"lora": {"rank": 4}}}},
            {"data": {"maxTokens": 100}},
            {"model": {"uri": "file:///models/another"}},
        ],
    )
    def test_what_determines_a_delta_changes_its_key(self, changes: dict[str, Any]) -> None:
        assert self.key(**changes) != self.key()

    @pytest.mark.parametrize(
        "changes",
        [
            {"training": {"methods": [{"name": "tuned", "sft": {}}]}},
            {"training": {"adapter": {"lora": {}}}},
            {"search": {"trials": 9}},
            {"artifacts": {"uri": "file:///elsewhere"}},
        ],
    )
    def test_what_does_not_leaves_it(self, changes: dict[str, Any]) -> None:
        assert self.key(**changes) == self.key()

    def test_names_of_equal_deltas_differ(self) -> None:
        spec = make_run(training={"methods": [SFT, {"name": "again", "sft": {}}]}).spec
        one, two = planned_trainings(spec, facts(spec, MESSAGES))
        assert one.key == two.key
        assert one.name("run") != two.name("run")


def test_the_worker_program_can_ask_without_loading_anything_heavy() -> None:
    code = "import sys, autollm.plan.trainings; sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'torch', 'optuna')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
