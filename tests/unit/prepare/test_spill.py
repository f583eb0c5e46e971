"""What is spilled is the canonical record, byte for byte as its type writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autollm.contract.manifests import Record
from autollm_runtime.prepare.contents import Chat, Choice, Content, Document
from autollm_runtime.prepare.place import UnusableError
from autollm_runtime.prepare.spill import Spill, read_lines, record_key
from autollm_runtime.prepare.split import Splitter

PROMPT = [{"role": "user", "content": 'Größe "x"\n?'}]
CONTENTS: list[Content] = [Chat([*PROMPT, {"role": "assistant", "content": "日本"}]), Choice(PROMPT, "a", "b"), Document("text\u2028\x00")]


def spill_all(folder: Path, contents: list[Content], origin: str | None = None) -> list[Record]:
    with Spill(folder, Splitter(0.1, 0.1, 0)) as spill:
        for content in contents:
            spill.add(content, source=3, name="math", use="Train", origin=origin)
        table = spill.table()
    lines = list(read_lines(spill.records, table.starts, reversed(range(len(table)))))
    assert lines[::-1] == spill.records.read_bytes().splitlines(keepends=True)
    records = [Record.parse(json.loads(line)) for line in reversed(lines)]
    for line, record, number in zip(reversed(lines), records, table.keys.tolist(), strict=True):
        assert json.dumps(record.document(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n" == line
        assert record_key(line) == number
    return records


def test_lines_are_records(tmp_path: Path) -> None:
    records = spill_all(tmp_path, CONTENTS)
    assert [record.shape for record in records] == ["messages", "preference", "text"]
    assert {record.source for record in records} == {"math"}
    assert records[0].origin == records[1].origin  # one prompt, one origin, one split
    assert len({record.id for record in records}) == 3


def test_the_origin_is_what_the_user_maps(tmp_path: Path) -> None:
    assert len({record.origin for record in spill_all(tmp_path, CONTENTS, origin="document 7")}) == 1


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    with Spill(tmp_path, Splitter(0.1, 0.1, 0)) as spill:
        with pytest.raises(UnusableError, match="NotText"):
            spill.add(Document("\ud800"), source=0, name="math", use="Train", origin=None)
        with pytest.raises(UnusableError, match="NotText"):
            spill.add(Document("text"), source=0, name="math", use="Train", origin="\ud800")
        assert len(spill.table()) == 0
    assert spill.words.read_bytes() == b""
