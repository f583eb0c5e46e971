"""Sources are counted as far as that is cheap, and what is not known is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from autollm.forecast import survey as module
from autollm.forecast.survey import Survey, survey
from autollm.resources.run import Artifacts
from autollm.resources.sources import Source

ARTIFACTS = Artifacts(uri="file:///artifacts")
CHAT = {"prompt": "a question", "completion": "an answer"}
CHOICE = {"prompt": "a question", "chosen": "yes", "rejected": "no"}


def look(path: Path, **file: Any) -> Survey:
    return survey(Source.parse({"name": "data", "file": {"uri": path.as_uri(), **file}}), ARTIFACTS)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "text", "records", "shape"),
    [
        ("a.jsonl", lines(CHAT, CHAT, CHAT), 3, "messages"),
        ("a.jsonl", lines(CHAT) + "\n" + lines(CHAT).strip(), 2, "messages"),
        ("a.jsonl", lines(CHOICE), 1, "preference"),
        ("a.jsonl", lines({"text": "a"}), 1, "text"),
        ("a.json", json.dumps([CHAT, CHAT]), 2, "messages"),
        ("a.json", lines(CHAT, CHAT), 2, "messages"),
        ("a.csv", 'prompt,completion\na,"b\nc"\nd,e\n', 2, "messages"),
        ("a.tsv", "prompt\tchosen\trejected\na\tb\tc\n", 1, "preference"),
        ("a.jsonl", "", 0, None),
    ],
)
def test_a_file_is_counted_and_its_shape_told(tmp_path: Path, name: str, text: str, records: int, shape: str | None) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = look(path)
    assert (found.records, found.shape, found.exact, found.unknown) == (records, shape, True, "")


def test_a_folder_is_all_its_files_of_data(tmp_path: Path) -> None:
    for name, rows in {"a.jsonl": 3, "b/c.jsonl": 2, "README.md": 9, "_hidden.jsonl": 9}.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(*[CHAT] * rows))
    found = look(tmp_path / "data")
    assert found.records == 5
    assert found.record_bytes == len(lines(CHAT))


def test_of_a_large_file_the_rest_is_taken_to_be_like_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(*[CHAT] * 1000))
    monkeypatch.setattr(module, "READ_WHOLE", 100)
    monkeypatch.setattr(module, "SAMPLE", 5000)
    found = look(path)
    assert (found.records, found.exact) == (1000, False)


def test_the_document_says_the_shape_where_it_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines({"q": "a", "good": "b", "bad": "c"}))
    assert look(path, format="Text").shape == "text"
    assert look(path, map={"prompt": "q", "chosen": "good", "rejected": "bad"}).shape == "preference"


def test_what_cannot_be_read_or_is_packed_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(CHAT).encode()))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    for name in ("a.jsonl.gz", "a.parquet"):
        assert look(tmp_path / name).records is None
        assert "not counted from here" in look(tmp_path / name).unknown
    assert "cannot be read from here" in look(tmp_path / "none.jsonl").unknown
