"""Every document that the repository shows is valid: the examples, and the whole documents in the Markdown files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from autollm.plan.alone import plan_training
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.generate import ROOT
from autollm.resources.load import Document, read_documents
from autollm.resources.validate import check
from support.documents import SHORTEST, changed

RUN = re.compile(r"^kind: AutoLLMRun", re.MULTILINE)
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if RUN.search(path.read_text(encoding="utf-8")))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = [
    (f"{page.relative_to(ROOT)}#{number}", block)
    for page in PAGES
    for number, block in enumerate(re.findall(r"```ya?ml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    if re.search(r"^kind: (AutoLLMRun|MergeTrial|DeltaTraining)", block, re.MULTILINE)
]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_example_is_valid(file: Path) -> None:
    assert [problem.text(file.name) for document in read_documents(file) for problem in check(document).problems] == []


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_the_documents_in_the_pages_are_valid(tmp_path: Path) -> None:
    for place, block in SHOWN:
        file = tmp_path / "run.yaml"
        file.write_text(block, encoding="utf-8")
        assert [problem.text(place) for document in read_documents(file) for problem in check(document).problems] == []


def test_the_training_in_the_page_on_trainings_by_hand_has_the_key_of_what_it_asks() -> None:
    page = (ROOT / "docs" / "how-to" / "by-hand.md").read_text(encoding="utf-8")
    (shown,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: DeltaTraining" in block)
    training = DeltaTraining.parse(yaml.safe_load(shown))
    made = plan_training(training, None, datetime(2026, 1, 1, tzinfo=UTC))
    assert [type(action).__name__ for action in made.actions] == ["EnsureTask"]


def test_the_section_of_the_page_on_workers_is_valid() -> None:
    page = (ROOT / "docs" / "how-to" / "workers.md").read_text(encoding="utf-8")
    section = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    assert check(Document(changed(SHORTEST, {"spec.workers": section["workers"]}), Path("run.yaml"), {})).problems == ()
