"""Files of every kind give rows; files that are broken are refused with the place and the remedy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.errors import InputError
from autollm_runtime.prepare import container, json_rows, json_structure, lines, parquet_rows
from autollm_runtime.prepare.place import Place
from autollm_runtime.prepare.rows import read_rows

ROWS = [{"prompt": "2+2?", "completion": "4"}, {"prompt": 'Größe, "ja"\n?', "completion": "日本"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def read(folder: Path, name: str, data: bytes) -> list[tuple[int, dict[str, Any]]]:
    path = folder / name
    path.write_bytes(data)
    return list(read_rows(path, Place("math", f"data/{name}")))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl", LINES.replace(b"\n", b"\r\n\r\n")),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.rstrip()),
        ("a.json", LINES),
        ("a", LINES),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps(ROWS, indent=2).encode()),
        ("a.jsonl", json.dumps(ROWS, ensure_ascii=False).encode()),
        ("a.json", json.dumps({"version": 1.5, "data": ROWS, "more": [1]}).encode()),
        ("a.json", json.dumps({"version": "x", "data": ROWS}, indent=1).encode()),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("a.json.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        ("a.csv", 'prompt,completion\n2+2?,4\n"Größe, ""ja""\n?",日本\n'.encode()),
        ("a.csv", 'prompt;completion\n2+2?;4\n"Größe, ""ja""\n?";日本\n'.encode()),
        ("a.tsv", 'prompt\tcompletion\n2+2?\t4\n"Größe, ""ja""\n?"\t日本\n'.encode()),
        ("a.csv.gz", gzip.compress('prompt,completion\n2+2?,4\n"Größe, ""ja""\n?",日本\n'.encode(), mtime=0)),
        ("a", b'prompt,completion\n2+2?,4\n"Gr\xc3\xb6\xc3\x9fe, ""ja""\n?",\xe6\x97\xa5\xe6\x9c\xac\n'),
    ],
)
def test_rows_are_read_whatever_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    assert [row for _, row in read(tmp_path, name, data)] == ROWS


def test_parquet_is_read_batch_by_batch_and_told_by_its_content(tmp_path: Path) -> None:
    many = [{"messages": [{"role": "user", "content": str(number)}]} for number in range(3000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(many), tmp_path / "whatever", row_group_size=700)
    rows = list(read_rows(tmp_path / "whatever", Place("math", "data/whatever")))
    assert rows == list(enumerate(many, 1))


def test_one_record_with_a_chat_is_a_record_and_no_wrapper(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    assert read(tmp_path, "a.json", json.dumps(chat).encode()) == [(1, chat)]


BAD: list[tuple[str, bytes, str, str]] = [
    ("a.jsonl", b"", "EmptyFile", "empty"),
    ("a.csv", b" \n \n", "EmptyFile", "empty"),
    ("a.jsonl", LINES[:-20], "TruncatedFile", "line 2"),
    ("a.jsonl", b'{"a": 1}\n{"a": }\n{"a": 2}\n', "InvalidJSON", "line 2"),
    ("a.jsonl", b'{"a": 1}\n[1]\n', "NotAnObject", "line 2.*an array"),
    ("a.jsonl", b'"text"\n', "NotAnObject", "line 1.*a text"),
    ("a.jsonl", b'{"a": "\xff"}\n', "NotUTF8", "line 1.*0xff"),
    ("a.jsonl", '{"a": "ä"}\n'.encode("utf-16"), "NotUTF8", "UTF-8"),
    ("a.jsonl", b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n", "InvalidJSON", "nested"),
    ("a.json", b'[{"a": 1}, {"a": 2}', "TruncatedFile", "ends"),
    ("a.json", b'[{"a": 1}, {"a": "tex', "TruncatedFile", "ends"),
    ("a.json", b'[{"a": 1}, {"a": x}]', "InvalidJSON", "not JSON"),
    ("a.json", b'[{"a": 1}, 5]', "NotAnObject", "row 2.*a number"),
    ("a.json", b'[{"a": 1}] trailing', "InvalidJSON", "follows"),
    ("a.json", b'[{"a": "\xff"}]', "NotUTF8", "0xff"),
    ("a.json", b'{\n"a": [{"x": 1}],\n"b": [{"x": 1}]\n}', "NotAnObject", "'a' and 'b'"),
    ("a.json", b'{\n"a": 1\n}', "NoRecords", "no array"),
    ("a.json", b'{\n"a": [{"x": 1}]', "TruncatedFile", "ends"),
    ("a.csv", b"a,b\n1,2\n1,2,3\n", "InvalidCSV", "line 3.*3 fields where the head has 2"),
    ("a.csv", b"a,a\n1,2\n", "InvalidCSV", "'a' stands twice"),
    ("a.csv", b'a,b\n1,"2\n', "TruncatedFile", "quotes"),
    ("a.csv", b"a,b\n1,\xff\n", "NotUTF8", "line 2"),
    ("a.parquet", b"PAR1 and nothing more", "DamagedParquet", "Parquet"),
    ("a.parquet", LINES, "UnknownFile", "not Parquet"),
    ("a.bin", b"\x7fELF\0\0\0", "UnknownFile", "neither"),
    ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-9], "TruncatedFile", "gzip"),
    ("a.jsonl.gz", b"\x1f\x8bnonsense", "DamagedGzip", "gzip"),
    ("a.jsonl.gz", gzip.compress(b"", mtime=0), "EmptyFile", "empty"),
]


@pytest.mark.parametrize(("name", "data", "reason", "words"), BAD, ids=[f"{reason}-{index}" for index, (_, _, reason, _) in enumerate(BAD)])
def test_a_broken_file_is_refused_with_source_file_and_place(tmp_path: Path, name: str, data: bytes, reason: str, words: str) -> None:
    with pytest.raises(InputError, match=f"(?s)^source math, file data/{name}.*{words}") as caught:
        read(tmp_path, name, data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "data",
    [
        b'{"prompt": "a", "completion": "b"}\n{"prompt": "' + b"x" * 3000 + b'", "completion": "b"}\n',
        b'{"prompt": "' + b"x" * 3000 + b'", "completion": "b"}\n',
        b'[{"prompt": "' + b"x" * 9000 + b'", "completion": "b"}]',
    ],
)
def test_a_gigantic_line_is_refused_before_it_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    for module in (lines, json_rows, json_structure):
        monkeypatch.setattr(module, "MAX_LINE", 2048)
    monkeypatch.setattr(json_structure, "_BLOCK", 512)
    with pytest.raises(InputError, match="longer than") as caught:
        read(tmp_path, "a.jsonl", data)
    assert caught.value.reason == "LineTooLong"


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "FREE_EXPANSION", 2**16)
    with pytest.raises(InputError, match="200 times its size") as caught:
        read(tmp_path, "a.jsonl.gz", gzip.compress((b'{"text": "' + b"a" * 1000 + b'"}\n') * 20_000, mtime=0))
    assert caught.value.reason == "ExpandsTooFar"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=8),
    block=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_an_array_is_read_alike_through_windows_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], block: int, indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8", errors="replace")
    expected = json.loads(path.read_text(encoding="utf-8"))
    before = json_structure._BLOCK
    json_structure._BLOCK = block
    try:
        with path.open("rb") as file:
            assert [row for _, row in json_structure.structure_rows(file, Place("s", "a.json"))] == expected
    finally:
        json_structure._BLOCK = before


def read_parquet(table: pyarrow.Table, path: Path) -> list[dict[str, Any]]:
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return [row for _, row in read_rows(path, Place("math", "data/a.parquet"))]


def repeated(length: int, rows: int) -> pyarrow.Array:
    """A long text in every row, which a file stores once."""
    return pyarrow.array(["a" * length]).dictionary_encode().take(pyarrow.array([0] * rows)).cast(pyarrow.string())


def test_a_parquet_file_of_a_kilobyte_that_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    table = pyarrow.table({"prompt": repeated(17 * 2**20, 100), "completion": ["b"] * 100})
    with pytest.raises(InputError, match=r"row 1: .*16 MiB") as caught:
        read_parquet(table, tmp_path / "a.parquet")
    assert caught.value.reason == "LineTooLong"
    assert (tmp_path / "a.parquet").stat().st_size < 4096


def test_long_texts_that_stand_once_in_a_parquet_file_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_BATCH_BYTES", 4 * 2**20)
    table = pyarrow.table({"text": repeated(2**20, 30), "list": [[{"role": "user"}], [], None] * 10})
    asked = []
    batches = pyarrow.parquet.ParquetFile.iter_batches

    def watched(file: Any, *, batch_size: int, **options: Any) -> Any:
        asked.append(batch_size)
        return batches(file, batch_size=batch_size, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", watched)
    rows = read_parquet(table, tmp_path / "a.parquet")
    assert [len(row["text"]) for row in rows] == [2**20] * 30
    assert [row["list"] for row in rows[:3]] == [[{"role": "user"}], [], None]
    assert 1 <= asked[0] <= 4


def in_one_list(text: str, entries: int) -> pyarrow.Table:
    """One row with a list in which a text stands so often; Arrow, and so the file, holds it once."""
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * entries, pyarrow.int32()), [text])
    messages = pyarrow.StructArray.from_arrays([texts], ["content"])
    return pyarrow.table({"prompt": ["short"], "messages": pyarrow.ListArray.from_arrays([0, entries], messages)})


@pytest.mark.parametrize("own_schema", [True, False])
def test_a_text_that_a_list_repeats_is_never_unpacked(tmp_path: Path, own_schema: bool) -> None:
    """Three gigabytes from a file of a kilobyte, in the one row that it has."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(in_one_list("a" * 2**20, 3000), path, compression="zstd", store_schema=own_schema)
    assert path.stat().st_size < 4096
    pool = pyarrow.default_memory_pool()
    before = pool.max_memory()
    with pytest.raises(InputError, match=r"data/a.parquet, row 1: .*longer than 16 MiB.* the column 'messages'") as caught:
        list(read_rows(path, Place("math", "data/a.parquet")))
    assert caught.value.reason == "LineTooLong"
    assert pool.max_memory() <= max(before, 2**27)


def test_lists_that_repeat_a_text_are_read_row_by_row_within_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "MAX_LINE", 5000)
    rows = [{"messages": [{"role": role, "content": f"{number:05}" * 200} for role in ("user", "assistant")]} for number in range(2100)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=999)
    assert [row for _, row in read_rows(path, Place("math", "data/a.parquet"))] == rows
    rows[1234]["messages"] *= 3
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=999)
    with pytest.raises(InputError, match="row 1235: "):
        list(read_rows(path, Place("math", "data/a.parquet")))


def test_lists_of_texts_that_share_their_beginnings_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.parquet", ["a" * 2**18] * 5000
    encoded: dict[str, Any] = {"column_encoding": "DELTA_BYTE_ARRAY", "use_dictionary": False}
    pyarrow.parquet.write_table(pyarrow.table({"messages": [texts]}), path, **encoded)
    with pytest.raises(InputError, match=r"the column 'messages\.list\.element' may unpack to more than 1024 MiB") as caught:
        list(read_rows(path, Place("math", "data/a.parquet")))
    assert caught.value.reason == "ExpandsTooFar"
    pyarrow.parquet.write_table(pyarrow.table({"messages": [["one", "onion"]]}), path, **encoded)
    assert [row for _, row in read_rows(path, Place("math", "data/a.parquet"))] == [{"messages": ["one", "onion"]}]


def test_a_parquet_row_of_endless_nothing_is_refused(tmp_path: Path) -> None:
    nothing = pyarrow.ListArray.from_arrays([0, 20_000_000], pyarrow.nulls(20_000_000, pyarrow.string()))
    with pytest.raises(InputError, match="lists of more than") as caught:
        read_parquet(pyarrow.table({"messages": nothing}), tmp_path / "a.parquet")
    assert caught.value.reason == "ExpandsTooFar"
    assert (tmp_path / "a.parquet").stat().st_size < 4096
