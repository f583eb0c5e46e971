"""The report page as text; how it looks and what it does in a browser is tested in tests/integration/report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from autollm.report.gather import gather
from autollm.report.page import render_page
from autollm.report.state import read_state
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support.hostile import HOSTILE, hostile
from support.sample_run import sample_run, write_sample_run
from support.world import AnyErrand


class Page(HTMLParser):
    """What a page consists of: its elements with their attributes, its text outside of scripts, its plots."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.plots: dict[str, Any] = {}
        self._inside: tuple[str, str | None] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = (tag, dict(attrs).get("data-plot")) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.text += data
        elif self._inside[1] is not None:
            self.plots[self._inside[1]] = json.loads(data)

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]


def page_of(folder: Path) -> Page:
    return Page(render_page(gather(read_state(folder))))


@pytest.fixture(scope="module")
def html(finished: Path) -> str:
    return render_page(gather(read_state(finished)))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_everything_a_finished_run_has_is_on_its_page(page: Page) -> None:
    assert list(page.plots) == ["convergence", "weights", "by", "parallel", "curves"]
    assert {"results", "samples", "data", "lineage"} <= set(page.ids())
    for told in ("quickstart", "succeeded", "Published", "finalist-2", "7 ExactDuplicate, 2 TooLong", "3 wait for a chunk", "LoRA"):
        assert told in page.text, told
    assert "learningRate" in page.text, "the document is part of the lineage"


def test_it_refers_to_nothing_outside_of_itself(page: Page, html: str) -> None:
    referring = {"src", "href", "srcset", "action", "data", "poster", "background"}
    assert [element for element in page.elements if referring & set(element[1])] == []
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert not any("url(" in style or "@import" in style for style in styles)
    (policy,) = [attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes]
    assert str(policy).startswith("default-src 'none'; ")


def test_scripts_run_by_a_nonce_that_is_another_every_time(page: Page, finished: Path) -> None:
    def nonces(one: Page) -> set[str | None]:
        return {attributes.get("nonce") for tag, attributes in one.elements if tag == "script" and "data-plot" not in attributes}

    (first,) = nonces(page)
    (second,) = nonces(page_of(finished))
    assert first
    assert first != second


def test_convergence_is_the_best_so_far(page: Page) -> None:
    traces = {trace["name"]: trace for trace in page.plots["convergence"]["data"]}
    assert set(traces) == {"start point", "suggested", "best so far"}
    points = dict(zip(traces["start point"]["x"], traces["start point"]["y"], strict=True))
    points |= dict(zip(traces["suggested"]["x"], traces["suggested"]["y"], strict=True))
    assert sorted(points) == list(range(1, 25))
    best = traces["best so far"]["y"]
    assert best == [max(points[number] for number in range(1, end + 1)) for end in range(1, 25)]


def test_every_delta_has_its_weights_its_axis_and_its_curve(page: Page) -> None:
    deltas = ["code/sft", "following/dpo", "following/sft", "math/sft"]
    strip = page.plots["weights"]["data"]
    assert [trace["y"][0] for trace in strip[:-1]] == deltas
    assert all(len(trace["x"]) == 24 for trace in strip[:-1])
    assert strip[-1]["name"] == "best"
    assert [axis["label"] for axis in page.plots["parallel"]["data"][0]["dimensions"]] == [*deltas, "score"]
    assert [trace["name"] for trace in page.plots["curves"]["data"] if trace.get("showlegend", True)] == deltas


def test_compared_rows_stand_out_by_source_and_metric(page: Page) -> None:
    traces = {trace["name"]: trace for trace in page.plots["by"]["data"]}
    assert list(traces) == ["other rows", "base", "code/sft", "auto"]
    assert traces["auto"]["y"] == ["source code", "source following", "source math", "metric exact", "metric likelihood"]
    assert len(traces["auto"]["error_x"]["array"]) == 5


def test_answers_stand_side_by_side(finished: Path, page: Page) -> None:
    samples = gather(read_state(finished)).samples
    assert [sample.source for sample in samples] == [source for source in ("math", "code", "following") for _ in range(3)]
    for sample in samples:
        assert list(sample.answers) == ["base", "code/sft", "auto"]
        assert sample.prompt in page.text
        for answer in sample.answers.values():
            assert answer.right == (answer.text == sample.reference)


def test_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    page = page_of(write_sample_run(tmp_path, until=lambda world: True))
    assert "The run has not begun." in page.text
    assert page.plots == {}
    assert "results" not in page.ids()


def test_a_search_under_way_shows_what_is_known(searching: Path) -> None:
    page = page_of(searching)
    assert "5 of 24 trials are done." in page.text
    assert "best search score so far" in page.text
    assert list(page.plots) == ["convergence", "weights", "parallel", "curves"]
    assert "results" not in page.ids()


def test_failed_trials_are_listed_with_their_reasons(tmp_path: Path) -> None:
    told = Failure(reason="NonFinite", message=f"logits hold NaN {HOSTILE}")

    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        return told if isinstance(work, MergeTrial) and work.spec.number == 2 and work.spec.split == "Search" else None

    run = sample_run(tmp_path / "artifacts", search={"trials": 5, "optimizer": {"random": {}}})
    page = page_of(write_sample_run(tmp_path, run=run, fails=fails))
    assert "failures" in page.ids()
    assert f"logits hold NaN {HOSTILE}" in page.text
    failed = next(trace for trace in page.plots["convergence"]["data"] if trace["name"] == "failed")
    assert failed["x"] == [3]


def test_a_run_without_answers_has_no_samples(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path)
    for path in (tmp_path / "artifacts" / "trials").rglob("*.jsonl"):
        path.write_text(re.sub(r', "answer": "(?:[^"\\]|\\.)*"', "", path.read_text()))
    page = page_of(folder)
    assert "samples" not in page.ids()
    assert "results" in page.ids()


def test_artifacts_that_were_cleared_away_are_left_out(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path)
    for name in ("deltas", "trials", "data"):
        (tmp_path / "artifacts" / name).rename(tmp_path / name)
    page = page_of(folder)
    assert list(page.plots) == ["convergence", "weights", "by", "parallel"]
    assert not {"samples", "data"} & set(page.ids())
    assert "results" in page.ids()


def test_hostile_text_stays_text(tmp_path: Path, page: Page) -> None:
    folder = write_sample_run(tmp_path, rewrite=hostile)
    html = render_page(gather(read_state(folder)))
    attacked = Page(html)
    assert attacked.text.count(HOSTILE) >= 9, "prompts, references and answers show it as it is"
    assert [tag for tag, _ in attacked.elements if tag in ("img", "marquee", "iframe")] == []
    assert sum(tag == "script" for tag, _ in attacked.elements) == sum(tag == "script" for tag, _ in page.elements)
    assert "{{ 7 * 7 }}" in attacked.text


def test_no_character_of_a_plot_ends_its_script(finished: Path) -> None:
    html = render_page(gather(read_state(finished)))
    for source in re.findall(r"<script type=\"application/json\" data-plot=\"\w+\">(.*?)</script>", html, re.DOTALL):
        assert "<" not in source
