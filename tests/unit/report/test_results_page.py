"""docs/results-json.md tells every field of results.json and no other, and its example is what is really written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.results_example import BEGIN, END, PAGE, example, full_document, pending_trial

MAPS = {"weights", "deltas"}
SCORES, INTERVAL = {"metrics", "sources"}, "versus"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document = full_document()
    document["trials"].append(pending_trial())
    return document


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every field; a score and an interval are told in tables of their own."""
    name = path.rpartition(".")[2]
    if isinstance(value, list):
        yield f"{path}[]"
        for one in value:
            yield from paths(one, f"{path}[]")
    elif isinstance(value, dict) and name not in MAPS and (path == "" or path.endswith("[]") or name in ("objective", "best", "published")):
        for key, one in value.items():
            yield from paths(one, f"{path}.{key}" if path else key)
    else:
        yield path


def told(text: str) -> list[list[str]]:
    """Return the fields of each table of the page."""
    tables = re.split(r"\n\n", text)
    return [re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) for table in tables if "| field | type |" in table]


def test_every_field_is_told_and_no_other(document: dict[str, Any]) -> None:
    fields, _, _ = told(PAGE.read_text(encoding="utf-8"))
    assert len(fields) == len(set(fields))
    assert set(fields) == {path for path in paths(document) if path not in ("results[]", "trials[]", "objective.metrics[]")} | {
        "results[]",
        "trials[]",
    }


def test_the_parts_of_scores_and_intervals_are_told(document: dict[str, Any]) -> None:
    _, scores, interval = told(PAGE.read_text(encoding="utf-8"))
    rows = document["results"]
    found = [score for row in rows for kind in SCORES for score in row[kind].values()] + [row["test"] for row in rows]
    assert {key for score in found for key in score} == set(scores)
    assert {key for row in rows if row[INTERVAL] for key in row[INTERVAL]} == set(interval)


def shape(value: Any) -> Any:
    """Return a document with every number and every name that is a digest replaced: they follow from the made-up run alone."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"\b(quickstart-|sha256:)[0-9a-f]+", r"\1…", value)
    return "a number" if isinstance(value, int | float) else value


def test_the_example_is_what_is_written() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    assert shape(json.loads(rest.partition(END)[0])) == shape(json.loads(example())), "run `python tests/support/results_example.py`"
