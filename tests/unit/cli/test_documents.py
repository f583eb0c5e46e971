"""`autollm init` prints what `autollm validate` takes, and `autollm validate` says what is wrong, where and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from autollm.cli import main
from autollm.resources.load import load_run
from support.documents import BAD, SHORTEST


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def write(file: Path, document: object) -> Path:
    file.write_text(yaml.safe_dump(document, default_style='"'))
    return file


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("my math.jsonl", "b/code.csv", "c/code.parquet"),
        ("--name", "bot", "--model", "m", "x.json"),
        ("s3://data/x/", "file:///data/y.csv"),
    ],
)
def test_what_init_prints_is_valid_and_commented(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    printed = invoke("init", *arguments)
    file = tmp_path / "run.yaml"
    file.write_text(printed.output)
    assert invoke("validate", str(file)).exit_code == 0, invoke("validate", str(file)).output
    assert printed.output.count("#") >= 10
    assert len(printed.output.splitlines()) < 50


def test_init_makes_a_source_of_every_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(invoke("init", "Meine Daten (2).jsonl", "b/code.csv", "c/code.parquet", "all.json", "s3://data/y/").output)
    sources = load_run(file).spec.sources
    assert [source.name for source in sources] == ["meine-daten-2", "code", "code-2", "source-all", "y"]
    uris = [source.file.uri for source in sources if source.file is not None]
    assert (uris[0], uris[-1]) == ((tmp_path / "Meine Daten (2).jsonl").as_uri(), "s3://data/y/")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--name", "Foo_bar"), "metadata.name"),
        (("--name", ""), "metadata.name"),
        (("--model", "http://x"), "spec.model.uri"),
        (("hf://org/data",), "spec.sources[0].file.uri"),
        (tuple(f"{number}.csv" for number in range(70)), "spec.sources"),
    ],
)
def test_init_prints_no_document_that_validate_refuses(arguments: tuple[str, ...], field: str) -> None:
    result = invoke("init", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"\n{field}: " in result.stderr


@settings(max_examples=15)
@given(names=st.lists(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=12), max_size=4))
def test_init_is_valid_for_files_of_any_name(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    file = tmp_path_factory.mktemp("init") / "run.yaml"
    file.write_text(invoke("init", "--", *(f"data/{name}" for name in names)).output)
    assert len(load_run(file).spec.sources) == (len(names) or 2)


def test_the_optional_lines_of_init_are_valid_too(tmp_path: Path) -> None:
    text = invoke("init").output
    for line in ("- name: dpo", "  after: sft", '  dpo: {beta: "0.1"}', "- name: answers", "  match: {kind", "space: {min"):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    file = tmp_path / "run.yaml"
    file.write_text(text)
    run = load_run(file)
    assert [method.name for method in run.spec.training.methods] == ["sft", "dpo"]
    assert len(run.spec.evaluation.effective_metrics) == 2


def test_a_problem_is_one_line_with_file_line_field_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(invoke("init").output.replace('test: "0.1"', "test: 0.1").replace("trials: 30", "trails: 30"))
    result = invoke("validate", str(file))
    number = {key: line for line, text in enumerate(file.read_text().splitlines(), 1) for key in ("split:", "trails:") if key in text}
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f'{file}:{number["split:"]} spec.data.split.test: 0.1 must be written in quotes: "0.1"',
        f"{file}:{number['trails:']} spec.search.trails: is an unknown field: did you mean 'trials'?",
    ]
    assert result.stdout == ""


def test_json_carries_the_same(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.yaml", BAD[0].document)
    good = write(tmp_path / "good.yaml", SHORTEST)
    result = invoke("validate", "--format", "json", str(good), str(bad), str(tmp_path / "none.yaml"))
    report = json.loads(result.stdout)
    assert result.exit_code == 2
    assert report["valid"] is False
    assert [(Path(problem["file"]).name, problem["field"]) for problem in report["problems"]] == [("bad.yaml", "kind"), ("none.yaml", "")]
    assert json.loads(invoke("validate", "--format", "json", str(good)).stdout) == {"valid": True, "problems": []}


def test_several_documents_are_named_when_they_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump_all([SHORTEST, SHORTEST | {"metadata": {"name": "other"}}]))
    result = invoke("validate", str(file))
    assert (result.exit_code, result.stdout) == (0, f"{file}: AutoLLMRun support-bot, AutoLLMRun other are valid\n")


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}}


def test_what_others_hold_beside_a_run_is_passed_over_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([SHORTEST, CONFIG_MAP]))
    assert invoke("validate", str(file)).stdout == f"{file}: AutoLLMRun support-bot is valid\n"
    line = file.read_text().splitlines().index("---") + 2
    assert caplog.messages == [f"{file}:{line} the ConfigMap of v1 is not AutoLLM's, and is passed over"]
    assert load_run(file).metadata.name == "support-bot"


@pytest.mark.parametrize(
    "beside",
    [
        {"apiVersion": "autollm.dev/v1alpha1", "kind": "ConfigMap"},
        {"apiVersion": "autolm.dev/v1", "kind": "AutoLLMRun"},
        {"kind": "Secret"},
    ],
)
def test_what_may_be_meant_for_us_is_not_passed_over(tmp_path: Path, beside: dict[str, str]) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([SHORTEST, beside]))
    assert invoke("validate", str(file)).exit_code == 2


def test_a_file_of_others_alone_is_wrong(tmp_path: Path) -> None:
    assert '"ConfigMap" is an unknown kind' in invoke("validate", str(write(tmp_path / "other.yaml", CONFIG_MAP))).stderr


def test_a_document_may_come_from_stdin() -> None:
    result = CliRunner().invoke(main, ["validate", "-"], input=yaml.safe_dump(SHORTEST))
    assert (result.exit_code, result.stdout) == (0, "-: AutoLLMRun support-bot is valid\n")


def test_the_folder_of_a_run_is_no_file(tmp_path: Path) -> None:
    file = write(tmp_path / "run.yaml", SHORTEST)
    result = invoke("run", "--folder", str(file), str(file))
    assert (result.exit_code, "is a file" in result.stderr) == (2, True)


def test_no_document_is_wrong_usage() -> None:
    assert invoke("validate").exit_code == 2
