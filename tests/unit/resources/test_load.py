"""Files are read as kubectl reads them (the table is what kubectl 1.32 printed for these spellings), and refused with line and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autollm.errors import DocumentError
from autollm.resources.load import LARGEST_FILE, load_run, read_documents
from autollm.resources.scalars import PLAIN, read_scalar
from autollm.resources.validate import check
from support.documents import GOOD, SHORTEST

SPELLINGS: dict[str, Any] = {
    "y": True, "Y": True, "n": False, "N": False, "yes": True, "Yes": True, "YES": True, "yEs": "yEs", "no": False, "on": True,
    "On": True, "off": False, "OFF": False, "true": True, "TRUE": True, "tRUE": "tRUE", "false": False, "~": None, "null": None,
    "Null": None, "NULL": None, "nULL": "nULL", "": None, "2e-4": 0.0002, "2E4": 20000, "1e3": 1000, "1.0": 1, "1.": 1, ".5": 0.5,
    "+.5": 0.5, "-.5": -0.5, "5e-1": 0.5, "1e400": "1e400", "1:30": "1:30", "12:30:45": "12:30:45", "2020-01-01": "2020-01-01",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "0o14": 12, "014": 12, "08": 8, "0x1F": 31, "0b101": 5, "-0b11": -3,
    "1_000": 1000, "1_000.5": 1000.5, "+1": 1, "-0": 0, "0.1": 0.1, "9223372036854775807": 9223372036854775807,
    "18446744073709551615": 18446744073709552000.0, "99999999999999999999": 1e20, "1e20": 1e20, "123456789.0": 123456789, ".e5": ".e5",
    "1e": "1e", "e5": "e5", "0x": "0x", "=": "=", "-": "-", "a b": "a b", "1 2": "1 2", "1__0": 10, "0.0": 0, "-0.0": 0, "1e-7": 1e-07,
    "0.30000000000000004": 0.30000000000000004, "0x1p-2": "0x1p-2", "Infinity": "Infinity", "nan": "nan", "1_0e1": 100, "0_7": 7,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SPELLINGS.items())
def test_an_unquoted_word_is_what_kubectl_takes_it_for(text: str, value: Any) -> None:
    read = read_scalar(text, PLAIN)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!str 1", "1"), ('!!int "3"', 3), ("!!float 1", 1), ('!!bool "yes"', True), ("!!binary aGk=", "hi"), ("!foo 1", "1"),
        ("!!timestamp 2020-01-01", "2020-01-01"), ('"0.5"', "0.5"), ("'yes'", "yes"), ('"\\u0041"', "A"), ("|\n  a\n  b", "a\nb\n"),
    ],
)  # fmt: skip
def test_quotes_and_tags_count(tmp_path: Path, text: str, value: Any) -> None:
    assert _read(tmp_path, f"a: {text}\n") == {"a": value}


@pytest.mark.parametrize("text", ["2e-4", "1:30", "y", "2020-01-01", "0o14", "1e3"])
def test_pyyaml_alone_would_read_it_otherwise(text: str) -> None:
    assert yaml.safe_load(f"a: {text}")["a"] != SPELLINGS[text]


def test_anchors_and_merge_keys_are_followed_and_keys_become_text(tmp_path: Path) -> None:
    text = "p: &x {a: 1, b: 2}\nq: {<<: *x, b: 3}\nr: {<<: [{a: 1}, {a: 2, c: 2}]}\n1: one\nyes: two\n0.5: three\n"
    read = _read(tmp_path, text)
    assert read == {"p": {"a": 1, "b": 2}, "q": {"a": 1, "b": 3}, "r": {"a": 1, "c": 2}, "1": "one", "true": "two", "0.5": "three"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no document: `autollm init"),
        (b"# only a comment\n---\n---\n", "holds no document"),
        (b"a: b: c\n", "run.yaml:1 is not YAML"),
        (b"a:\n\t- b\n", "indent with spaces, not tabs"),
        (b'a: "b\n', "is not YAML"),
        (b"a: [1, 2\n", "is not YAML"),
        (b"spec:\n  name: \xff\n", "run.yaml:2 byte 0xff is not UTF-8"),
        (b"- a\n- b\n", "run.yaml:1 a document is a mapping"),
        (b"a: &x [*x]\n", "an anchor contains itself"),
        (b"a: *x\n", "undefined alias"),
        (b"? [a]\n: b\n", "a key must be text"),
        (b"~: b\n", "a key must be text"),
        (b"<<: 3\n", "<< takes a mapping"),
        (b"a: " + b"[" * 50_000, "nested more than 64 levels deep"),
        (b"a: &a [1]\n" + b"".join(b"%c: &%c [%s]\n" % (c, c, b"*%c, " % (c - 1) * 10) for c in range(98, 105)), "too many values"),
        (b"a: x\n" * (LARGEST_FILE // 5 + 1), "larger than"),
    ],
)  # fmt: skip
def test_an_unreadable_file_is_refused_with_its_line_and_a_remedy(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(DocumentError) as error:
        read_documents(file)
    assert words in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"does not exist: `autollm init > none\.yaml`"):
        read_documents(tmp_path / "none.yaml")
    with pytest.raises(DocumentError, match="Is a directory"):
        read_documents(tmp_path)


def test_a_key_that_is_written_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("apiVersion: v1\nspec:\n  a: 1\n  b: 2\n  a: 3\n")
    (problem,) = read_documents(file)[0].problems
    assert problem.text("run.yaml") == "run.yaml:5 spec.a: is written twice, first in line 3: remove one"


@pytest.mark.parametrize("text", ["!!int x", "!!int 1.5", "!!null x", ".inf", "!!binary '*'"])
def test_a_value_that_kubectl_refuses_is_a_problem_of_its_field(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"a:\n- {text}\n")
    (problem,) = read_documents(file)[0].problems
    assert (problem.field, problem.line) == ("a[0]", 2)


def test_problems_have_the_lines_of_their_fields_in_every_document_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    good = yaml.safe_dump(SHORTEST)
    file.write_text(f"{good}---\n{good.replace('sft: {}', 'sft: {epochs: 0}')}")
    first, second = read_documents(file)
    assert check(first).problems == ()
    (problem,) = check(second).problems
    assert "epochs: 0" in file.read_text().splitlines()[(problem.line or 0) - 1]


def test_relative_locations_count_from_the_document(tmp_path: Path) -> None:
    file = tmp_path / "a folder" / "run.yaml"
    file.parent.mkdir()
    document = yaml.safe_dump(SHORTEST, default_style='"').replace("s3://data/math.jsonl", "../data/math 1.jsonl")
    file.write_text(document.replace("hf://HuggingFaceTB/SmolLM2-135M-Instruct", "models/m"))
    run = load_run(file)
    assert run.spec.sources[0].file is not None
    assert run.spec.sources[0].file.uri == (tmp_path / "data" / "math 1.jsonl").as_uri()
    assert run.spec.model.uri == (file.parent / "models" / "m").as_uri()
    assert run.spec.artifacts.uri == "s3://models/support-bot"


def test_a_run_is_loaded_with_its_defaults_or_refused_with_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump_all(GOOD, default_style='"'))
    with pytest.raises(DocumentError, match="holds 2 documents of kind AutoLLMRun"):
        load_run(file)
    file.write_text("apiVersion: autollm.dev/v1alpha1\nkind: AutoLLMRun\nmetadata: {name: X}\nspec: {}\n")
    with pytest.raises(DocumentError) as error:
        load_run(file)
    assert len(str(error.value).splitlines()) == 6
    assert f"{file}:3 metadata.name:" in str(error.value)


def _read(folder: Path, text: str) -> dict[str, Any]:
    file = folder / "run.yaml"
    file.write_text(text)
    (document,) = read_documents(file)
    return document.data
