"""New data, another base and other ready-made deltas are noticed without reading them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autollm.local.inputs import look_at_inputs
from autollm.resources.run import RunSpec
from support.runs import make_run


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    (tmp_path / "math.jsonl").write_text("{}\n")
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "1.jsonl").write_text("{}\n")
    sources = [{"name": name, "file": {"uri": f"file://{tmp_path}/{path}"}} for name, path in (("math", "math.jsonl"), ("many", "many"))]
    for folder in ("base", "tone", "chat", "before"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}\n")
    deltas = [
        {"name": "tone", "lora": {"uri": f"file://{tmp_path}/tone"}},
        {"name": "chat", "full": {"tuned": f"file://{tmp_path}/chat", "base": f"file://{tmp_path}/before"}},
    ]
    return make_run(sources=sources, model={"uri": f"file://{tmp_path}/base"}, deltas=deltas).spec


def test_what_has_not_changed_looks_the_same(spec: RunSpec, tmp_path: Path) -> None:
    assert look_at_inputs(spec, tmp_path / "seen") == look_at_inputs(spec, tmp_path / "seen")


READ = ["math.jsonl", "many/1.jsonl", "many/2.jsonl", *(f"{folder}/config.json" for folder in ("base", "tone", "chat", "before"))]


@pytest.mark.parametrize("path", READ)
def test_a_file_that_grew_or_came_is_noticed(spec: RunSpec, tmp_path: Path, path: str) -> None:
    before = look_at_inputs(spec, tmp_path / "seen")
    with (tmp_path / path).open("a") as file:
        file.write("{}\n")
    assert look_at_inputs(spec, tmp_path / "seen") != before


def test_a_file_of_the_same_size_that_was_written_later_is_noticed(spec: RunSpec, tmp_path: Path) -> None:
    before = look_at_inputs(spec, tmp_path / "seen")
    os.utime(tmp_path / "math.jsonl", ns=(1, 1))
    assert look_at_inputs(spec, tmp_path / "seen") != before


def test_where_it_cannot_be_looked_what_was_seen_last_counts(spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = look_at_inputs(spec, tmp_path / "seen")

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr("autollm.local.inputs.open_location", unreachable)
    assert look_at_inputs(spec, tmp_path / "seen") == before
