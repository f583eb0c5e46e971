"""Files in, manifest out: whole runs of the prepare task with a tiny model."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.errors import Interrupted
from autollm.resources.facts import Existing, Prepared
from autollm.store import open_store
from autollm_runtime.prepare import data as data_module
from autollm_runtime.prepare import run_prepare
from autollm_runtime.prepare import task as task_module
from autollm_runtime.prepare.found import existing_deltas
from support.preparing import Preparer, write_rows
from support.versitygw import S3Server


def asked(number: int, *, answer: str = "") -> dict[str, str]:
    return {"instruction": f"Question number {number}?", "output": answer or f"Answer {number * number}."}


def many(count: int, start: int = 0) -> list[dict[str, str]]:
    return [asked(number) for number in range(start, start + count)]


def pair(number: int) -> dict[str, str]:
    return {"prompt": f"Choice number {number}?", "chosen": f"good {number}", "rejected": f"bad {number}"}


def test_every_record_is_in_one_place_or_counted(preparer: Preparer, tmp_path: Path) -> None:
    rows = [
        *many(200),
        asked(7),
        {"instruction": "", "output": "x"},
        {"instruction": "Blank?", "output": " "},
        asked(300, answer="long " * 300),
    ]
    spec = preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", rows))}], chunk={"maxRecords": 60}, maxTokens=200)
    outcome = preparer.run(spec)
    manifest = outcome.manifest
    assert manifest.sources[0].read == 204
    assert manifest.sources[0].dropped == {"Duplicate": 1, "Empty": 1, "EmptyCompletion": 1, "TooLong": 1} == outcome.prepared.dropped
    held_out = outcome.records(manifest.search.digest), outcome.records(manifest.test.digest)
    chunks = [outcome.records(chunk.digest) for chunk in manifest.chunks]
    assert [len(chunk) for chunk in chunks] == [chunk.records for chunk in manifest.chunks]
    assert [len(items) for items in held_out] == [manifest.search.count, manifest.test.count]
    records = [record for part in (*chunks, *held_out) for record in part]
    prompts = sorted(record.messages[0].content for record in records if record.messages)
    assert prompts == sorted(row["instruction"] for row in many(200))
    assert len({record.id for record in records}) == 200
    assert sum(manifest.sources[0].kept.values()) == 200
    assert outcome.prepared.records == sum(len(chunk) for chunk in chunks)
    order = [int(record.messages[0].content.split()[2][:-1]) for chunk in chunks for record in chunk if record.messages]
    assert order == sorted(order)
    assert [chunk.name for chunk in manifest.chunks] == [f"math-{number:04d}" for number in range(1, len(chunks) + 1)]
    assert len(chunks) == -(-outcome.prepared.records // 60)


def test_the_same_inputs_give_the_same_digests_anywhere(preparer: Preparer, tmp_path: Path) -> None:
    spec = preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", many(100)))}], deduplicate={"near": "0.9"})
    first = preparer.run(spec)
    second = preparer.run(spec | {"artifacts": {"uri": str(tmp_path / "elsewhere")}})
    assert second.prepared == first.prepared


def test_unchanged_inputs_are_not_read_again(preparer: Preparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", many(100)))}])
    first = preparer.run(spec)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the records were read again")

    with monkeypatch.context() as patch:
        patch.setattr(data_module, "ingest", refuse)
        assert preparer.run(spec).prepared == first.prepared
        (first.artifacts / layout.records(first.prepared.chunks[0].digest)).unlink()
        with pytest.raises(AssertionError, match="read again"):
            preparer.run(spec)
    assert preparer.run(spec).prepared == first.prepared


def test_appended_edited_and_deleted_records_change_their_own_chunks_alone(preparer: Preparer, tmp_path: Path) -> None:
    path = tmp_path / "math.jsonl"
    spec = preparer.spec([{"name": "math", "uri": str(path)}], chunk={"maxRecords": 50, "minRecords": 10})
    rows = many(200)
    write_rows(path, rows)
    first = preparer.run(spec)
    assert len(first.chunks) >= 3

    trained = [record.messages[0].content for digest in first.chunks.values() for record in first.records(digest) if record.messages]
    edited = next(index for index, row in enumerate(rows) if row["instruction"] == trained[60])
    rows[edited] = asked(edited, answer="Another answer.")
    deleted = next(index for index, row in enumerate(rows) if row["instruction"] == trained[5])
    del rows[deleted]
    write_rows(path, [*rows, *many(5, start=1000)])
    second = preparer.run(spec)
    assert second.prepared.waiting in range(1, 6)
    changed = [name for name, digest in first.chunks.items() if second.chunks[name] != digest]
    assert changed == ["math-0001", "math-0002"]

    write_rows(path, [*rows, *many(40, start=1000)])
    third = preparer.run(spec)
    assert third.prepared.waiting == 0
    new = set(third.chunks) - set(second.chunks)
    assert {name: third.chunks[name] for name in second.chunks} == second.chunks
    assert len(new) == 1
    assert all(
        record.messages and int(record.messages[0].content.split()[2][:-1]) >= 1000
        for name in new
        for record in third.records(third.chunks[name])
    )


def test_a_source_that_grows_past_one_chunk_numbers_the_first(preparer: Preparer, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "math.jsonl", many(50))
    spec = preparer.spec([{"name": "math", "uri": str(path)}])
    first = preparer.run(spec)
    assert list(first.chunks) == ["math"]
    write_rows(path, many(60))
    second = preparer.run(spec)
    assert list(second.chunks) == ["math-0001", "math-0002"]
    assert second.chunks["math-0001"] == first.chunks["math"]


def test_a_record_appended_to_an_early_source_leaves_the_chunks_of_a_later_one(preparer: Preparer, tmp_path: Path) -> None:
    early, late = write_rows(tmp_path / "early.jsonl", many(60)), write_rows(tmp_path / "late.jsonl", many(60, start=100))
    spec = preparer.spec([{"name": "early", "uri": str(early)}, {"name": "late", "uri": str(late)}])
    first = preparer.run(spec)
    write_rows(early, [*many(60), *many(20, start=100)])
    second = preparer.run(spec)
    assert second.chunks == first.chunks
    assert second.prepared.dropped == {"Duplicate": 20}
    write_rows(early, [*many(60), *many(20, start=100), *many(20, start=300)])
    third = preparer.run(spec)
    assert {name: third.chunks[name] for name in ("early-0001", "late")} == {
        "early-0001": first.chunks["early"],
        "late": first.chunks["late"],
    }


def test_pooled_chunks_mix_sources_and_a_changed_cut_starts_anew(preparer: Preparer, tmp_path: Path) -> None:
    sources: list[dict[str, Any]] = [
        {"name": "chats", "uri": str(write_rows(tmp_path / "chats.jsonl", many(60)))},
        {"name": "pairs", "uri": str(write_rows(tmp_path / "pairs.jsonl", map(pair, range(60))))},
    ]
    apart = preparer.run(preparer.spec(sources, methods=("sft", "dpo")))
    assert list(apart.chunks) == ["chats", "pairs"]
    pooled = preparer.run(preparer.spec(sources, methods=("sft", "dpo"), chunk={"by": "Size"}))
    assert list(pooled.chunks) == ["pool"]
    assert pooled.prepared.chunks[0].shapes == {
        "messages": apart.prepared.chunks[0].records,
        "preference": apart.prepared.chunks[1].records,
    }
    assert preparer.run(preparer.spec(sources, methods=("sft", "dpo"))).chunks == apart.chunks


def test_a_record_keeps_its_split_whatever_else_changes(preparer: Preparer, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "math.jsonl", many(150))
    spec = preparer.spec([{"name": "math", "uri": str(path)}])
    first = preparer.run(spec)
    before = {record.origin for record in first.records(first.prepared.test.digest)}
    write_rows(path, [*many(70, start=500), *reversed([asked(number, answer=f"New {number}") for number in range(150)])])
    second = preparer.run(spec)
    after = {record.origin for record in second.records(second.prepared.test.digest)}
    assert before
    assert before <= after


def test_records_of_one_origin_share_a_split_and_sources_may_be_held_out_whole(preparer: Preparer, tmp_path: Path) -> None:
    rows = [asked(number) | {"document": f"doc {number % 10}"} for number in range(200)]
    sources: list[dict[str, Any]] = [
        {"name": "math", "file": {"uri": str(write_rows(tmp_path / "math.jsonl", rows)), "map": {"origin": "document"}}},
        {"name": "exam", "file": {"uri": str(write_rows(tmp_path / "exam.jsonl", many(20, start=900)))}, "use": "Test"},
        {"name": "trial", "file": {"uri": str(write_rows(tmp_path / "trial.jsonl", many(20, start=950)))}, "use": "Search"},
    ]
    outcome = preparer.run(preparer.spec(sources, split={"search": "0.2", "test": "0.2", "seed": 5}))
    splits = [
        [record for digest in outcome.chunks.values() for record in outcome.records(digest)],
        outcome.records(outcome.prepared.search.digest),
        outcome.records(outcome.prepared.test.digest),
    ]
    origins = [{record.origin for record in split if record.source == "math"} for split in splits]
    assert sum(map(len, origins)) == len(set.union(*origins)) == 10
    assert [
        len([record for record in split if record.source == source]) for source, split in zip(("trial", "exam"), splits[1:], strict=True)
    ] == [20, 20]


def test_a_training_record_that_leaks_into_the_exam_is_dropped(preparer: Preparer, tmp_path: Path) -> None:
    sources: list[dict[str, Any]] = [
        {"name": "exam", "file": {"uri": str(write_rows(tmp_path / "exam.jsonl", many(10)))}, "use": "Test"},
        {"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", [asked(number, answer="else") for number in range(100)]))},
    ]
    outcome = preparer.run(preparer.spec(sources, split={"test": "0"}))
    assert outcome.prepared.dropped == {"Leaked": 10}
    assert outcome.prepared.test.count == 10


def test_a_folder_is_read_file_by_file_in_the_order_of_names(preparer: Preparer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    rows = many(80)
    write_rows(folder / "a.jsonl", rows[:20])
    with (folder / "b.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "output"])
        writer.writeheader()
        writer.writerows(rows[20:40])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[40:60]), folder / "c.parquet")
    (folder / "sub" / "d.json.gz").write_bytes(gzip.compress(json.dumps({"rows": rows[60:]}).encode()))
    (folder / "README.md").write_text("no data")
    (folder / ".hidden.jsonl").write_text("no data")
    outcome = preparer.run(preparer.spec([{"name": "math", "uri": str(folder)}]))
    assert outcome.manifest.sources[0].read == 80
    assert [Path(uri).name for uri in outcome.manifest.inputs] == ["a.jsonl", "b.csv", "c.parquet", "d.json.gz"]
    whole = preparer.run(preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "all.jsonl", rows))}]), run="other")
    assert whole.chunks == outcome.chunks


def test_the_data_sets_of_llama_factory_are_read_as_they_are(preparer: Preparer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    described = {
        "mine": {"file_name": "mine.json", "columns": {"prompt": "q", "query": "more", "response": "a"}},
        "talks": {"file_name": "talks.json", "formatting": "sharegpt", "columns": {"messages": "dialog"}, "tags": {"role_tag": "from"}},
        "better": {"file_name": "better.json", "ranking": True, "columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}},
        "far": {"hf_hub_url": "org/data"},
    }
    (folder / "dataset_info.json").write_text(json.dumps(described))
    (folder / "mine.json").write_text(json.dumps([{"q": f"Sum {number}?", "more": "2, 2", "a": "4"} for number in range(40)]))
    talks = [[{"from": "human", "value": f"Talk {number}?"}, {"from": "gpt", "value": "Yes."}] for number in range(40)]
    (folder / "talks.json").write_text(json.dumps([{"dialog": talk} for talk in talks]))
    (folder / "better.json").write_text(json.dumps([{"q": f"Which {number}?", "good": "a", "bad": "b"} for number in range(40)]))
    outcome = preparer.run(preparer.spec([{"name": "factory", "uri": str(folder)}]))
    assert outcome.prepared.dropped == {}
    records = outcome.records(outcome.chunks["factory"])
    assert {record.shape for record in records} == {"messages", "preference"}
    asked_for = {record.messages[0].content for record in records if record.messages}
    assert any(text.startswith("Talk ") for text in asked_for)
    assert any(text.endswith("?\n\n2, 2") for text in asked_for)


def test_sources_and_artifacts_may_lie_in_s3(
    preparer: Preparer, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.make_bucket("prepare")
    local = preparer.run(preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", many(80)))}]))
    s3_server.client().upload_file(str(tmp_path / "math.jsonl"), "prepare", "data/math/part.jsonl")
    spec = preparer.spec([{"name": "math", "uri": "s3://prepare/data/math/"}]) | {
        "artifacts": {"uri": "s3://prepare/artifacts", "endpoint": s3_server.endpoint}
    }
    run_prepare(preparer.task(spec, "cloud"), preparer.context())
    report = json.loads((tmp_path / "objects" / "autollmruns" / "cloud" / "prepared.json").read_bytes())["prepared"]
    chunks = Prepared.parse(report).chunks
    assert {chunk.name: chunk.digest for chunk in chunks} == local.chunks
    store = open_store("s3://prepare/artifacts", endpoint=s3_server.endpoint)
    assert all(digest_bytes(store.read(layout.records(chunk.digest))) == chunk.digest for chunk in chunks)


def test_texts_need_no_chat_template(tmp_path: Path, text_model: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"Document {number} tells a story."} for number in range(80)]
    preparer = Preparer(tmp_path, text_model)
    outcome = preparer.run(
        preparer.spec([{"name": "books", "uri": str(write_rows(tmp_path / "books.jsonl", rows))}], methods=("pretrain",))
    )
    assert outcome.prepared.chunks[0].shapes == {"text": outcome.prepared.records}


def test_being_asked_to_stop_ends_the_work_and_a_second_attempt_finishes_it(preparer: Preparer, tmp_path: Path) -> None:
    spec = preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", many(80)))}])
    context = preparer.context()
    context.stop.set()
    with pytest.raises(Interrupted):
        run_prepare(preparer.task(spec), context)
    assert not (tmp_path / "objects").exists()
    assert preparer.run(spec).prepared.records


def test_asked_to_stop_at_its_very_end_it_reports_nothing(preparer: Preparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another may have reported already, and a run that has changed wants the report of that one."""
    context = preparer.context()

    def look(*looked_at: Any) -> Existing:
        context.stop.set()
        return existing_deltas(*looked_at)

    monkeypatch.setattr(task_module, "existing_deltas", look)
    with pytest.raises(Interrupted):
        run_prepare(preparer.task(preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", many(80)))}])), context)
    assert not (tmp_path / "objects").exists()
