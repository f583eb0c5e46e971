"""Bad data ends the task with one sentence that names source, place and remedy, and reports nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.errors import InputError
from support.preparing import Preparer, write_rows
from support.versitygw import S3Server


def row(number: int) -> dict[str, str]:
    return {"prompt": f"Question {number}?", "completion": f"Answer {number}."}


GOOD = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(60))
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


BAD: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "EmptyFile", "the file is empty"),
    ("truncated", GOOD[:-9], "TruncatedFile", "line 60.*copy it again"),
    ("latin-1", GOOD + '{"prompt": "Größe?", "completion": "x"}\n'.encode("latin-1"), "NotUTF8", "line 61.*iconv"),
    ("mixed", GOOD + lines({"messages": CHAT}), "MixedFormats", "line 61: the row is laid out as Messages.*file of its own"),
    ("gigantic", GOOD + b'{"prompt": "' + b"a" * (17 * 2**20) + b'"}\n', "LineTooLong", "line 61.*16 MiB"),
    ("role", lines({"messages": [*CHAT, {"content": "?"}]}), "MissingRole", "line 1.*no role"),
    ("unknown-role", lines({"messages": [{"role": "elf", "content": "?"}]}), "UnknownRole", "line 1.*'elf'.*the known ones"),
    ("column", GOOD + lines({"prompt": "alone"}), "MissingColumn", "line 61.*'completion'"),
    ("unknown", lines({"a": 1}), "UnknownFormat", "line 1.*file.map"),
    ("one", lines(row(1)), "OneRecord", "one record in all"),
    ("copies", lines(*[row(1)] * 50), "OneRecord", "one record in all"),
    ("blank", lines({"prompt": "a", "completion": ""}, {"prompt": "", "completion": "b"}), "NoRecords", "Empty 1, EmptyCompletion 1"),
    (
        "texts",
        lines(*({"text": f"Text {number}."} for number in range(60))),
        "ShapeUnused",
        "only texts.*sft .sft. needs chats or preferences",
    ),
]


@pytest.mark.parametrize(("data", "reason", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_file_that_cannot_be_used_is_refused(preparer: Preparer, tmp_path: Path, data: bytes, reason: str, words: str) -> None:
    path = tmp_path / "math.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"(?s){words}") as caught:
        preparer.run(preparer.spec([{"name": "math", "uri": str(path)}]))
    assert caught.value.reason == reason
    assert "math" in str(caught.value) or reason == "OneRecord"
    assert not (tmp_path / "objects").exists()
    assert not (tmp_path / "artifacts" / "data").exists()


def test_a_path_that_does_not_exist_is_named(preparer: Preparer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source math: file.uri .*absent.jsonl does not exist") as caught:
        preparer.run(preparer.spec([{"name": "math", "uri": str(tmp_path / "absent.jsonl")}]))
    assert caught.value.reason == "NotFound"


def test_a_missing_bucket_is_named_with_its_source(
    preparer: Preparer, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"source math: file.uri s3://absent-bucket/math.jsonl does not exist \(.*absent-bucket") as caught:
        preparer.run(preparer.spec([{"name": "math", "uri": "s3://absent-bucket/math.jsonl"}]))
    assert caught.value.reason == "NotFound"


def test_a_folder_without_data_is_named(preparer: Preparer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("nothing here")
    with pytest.raises(InputError, match="holds no file whose name ends in") as caught:
        preparer.run(preparer.spec([{"name": "math", "uri": str(tmp_path / "data")}]))
    assert caught.value.reason == "NoDataFiles"


def test_a_source_of_copies_of_another_is_refused_with_the_counts(preparer: Preparer, tmp_path: Path) -> None:
    (tmp_path / "math.jsonl").write_bytes(GOOD)
    sources = [{"name": "math", "uri": str(tmp_path / "math.jsonl")}, {"name": "copy", "uri": str(tmp_path / "math.jsonl")}]
    with pytest.raises(InputError, match=r"source copy: none of its 60 records is left \(Duplicate 60\).*remove the source"):
        preparer.run(preparer.spec(sources))


def test_an_exam_that_leaks_whole_is_refused_with_the_counts(preparer: Preparer, tmp_path: Path) -> None:
    write_rows(tmp_path / "math.jsonl", [row(number) for number in range(60)])
    write_rows(tmp_path / "exam.jsonl", [row(number) | {"completion": "other"} for number in range(60)])
    sources: list[dict[str, Any]] = [
        {"name": "math", "uri": str(tmp_path / "math.jsonl")},
        {"name": "exam", "file": {"uri": str(tmp_path / "exam.jsonl")}, "use": "Test"},
    ]
    spec = preparer.spec(sources, split={"test": "0"})
    with pytest.raises(InputError, match=r"source exam: none of its 60 records is left \(Leaked 60\).*records of their own"):
        preparer.run(spec)


def test_chats_for_dpo_alone_and_preferences_for_pretraining_alone_are_refused(preparer: Preparer, tmp_path: Path) -> None:
    write_rows(tmp_path / "math.jsonl", [row(number) for number in range(60)])
    write_rows(tmp_path / "pairs.jsonl", [{"prompt": f"Q{number}?", "chosen": "a", "rejected": "b"} for number in range(60)])
    with pytest.raises(InputError, match=r"source math has only chats.*dpo .dpo. needs preferences"):
        preparer.run(preparer.spec([{"name": "math", "uri": str(tmp_path / "math.jsonl")}], methods=("dpo",)))
    with pytest.raises(InputError, match=r"source pairs has only preferences.*pretrain .pretrain. needs texts"):
        preparer.run(preparer.spec([{"name": "pairs", "uri": str(tmp_path / "pairs.jsonl")}], methods=("pretrain",)))


def test_chats_need_a_chat_template(tmp_path: Path, text_model: Path) -> None:
    preparer = Preparer(tmp_path, text_model)
    write_rows(tmp_path / "math.jsonl", [row(number) for number in range(60)])
    with pytest.raises(InputError, match="no chat template") as caught:
        preparer.run(preparer.spec([{"name": "math", "uri": str(tmp_path / "math.jsonl")}]))
    assert caught.value.reason == "NoChatTemplate"


def test_too_many_chunks_are_refused_before_any_is_written(preparer: Preparer, tmp_path: Path) -> None:
    write_rows(tmp_path / "math.jsonl", [row(number) for number in range(2700)])
    with pytest.raises(InputError, match=r"data.chunk.maxRecords 1 makes .* 2000 is the most; raise it to"):
        preparer.run(preparer.spec([{"name": "math", "uri": str(tmp_path / "math.jsonl")}], chunk={"maxRecords": 1}))
    assert not (tmp_path / "artifacts" / "records").exists()


def test_the_worker_ends_with_bad_input_and_says_why(preparer: Preparer, tmp_path: Path) -> None:
    (tmp_path / "math.jsonl").write_bytes(GOOD[:-9])
    task = preparer.task(preparer.spec([{"name": "math", "uri": str(tmp_path / "math.jsonl")}]))
    (tmp_path / "task.json").write_text(json.dumps(task.document()))
    arguments = ["prepare", "--task", "task.json", "--objects", "objects", "--termination", "termination.json"]
    program = Path(sys.executable).with_name("autollm-runtime")
    ended = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.BAD_INPUT, ended.stderr
    termination = json.loads((tmp_path / "termination.json").read_bytes())
    assert termination["reason"] == "TruncatedFile"
    assert "line 60" in termination["message"]
