"""The shell: commands are listed without being imported, found by name, and end with the right exit code."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import autollm.cli
from autollm.cli import GROUP, USUAL_ORDER, main
from autollm.cli.summary import module_summary
from autollm.errors import AutoLLMError, DocumentError, InputError, Interrupted, OutageError, TemporaryError


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def with_command(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object], module: str = "autollm.cli.probe") -> None:
    class Point(EntryPoint):
        def load(self) -> object:
            return load()

    point = Point("probe", f"{module}:command", GROUP)
    monkeypatch.setattr(autollm.cli, "entry_points", lambda **wanted: [point] if wanted.get("name", "probe") == "probe" else [])


def test_help_lists_every_command_with_its_line_and_imports_none() -> None:
    code = """
import sys
from click.testing import CliRunner
from autollm.cli import main
result = CliRunner().invoke(main, ["--help"])
print(result.output)
heavy = {"pydantic", "torch", "celpy", "yaml", "rich", "numpy", "jsonschema_rs", "boto3"} & set(sys.modules)
commands = {name for name in sys.modules if name.startswith("autollm.cli.") and name != "autollm.cli.summary"}
print("imported:", sorted(heavy | commands))
"""
    output = run_python(code)
    assert "imported: []" in output
    for name in ("init", "validate"):
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in output.splitlines()), output


def test_validate_imports_neither_the_types_nor_pytorch(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(CliRunner().invoke(main, ["init"]).output)
    code = f"""
import sys
from click.testing import CliRunner
from autollm.cli import main
result = CliRunner().invoke(main, ["validate", {str(file)!r}])
print(result.exit_code, sorted({{"pydantic", "torch", "numpy", "boto3"}} & set(sys.modules)))
"""
    assert run_python(code) == "0 []\n"


def test_commands_come_in_the_order_of_use() -> None:
    names = main.list_commands(click.Context(main))
    assert [name for name in names if name in USUAL_ORDER] == [name for name in USUAL_ORDER if name in names]
    assert {"init", "validate", "run", "merge"} <= set(names)
    assert {point.name for point in entry_points(group=GROUP)} == set(names)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(main, ["validat", "x"])
    assert result.exit_code == 2
    assert "Did you mean 'validate'?" in result.output
    assert "Did you mean" not in CliRunner().invoke(main, ["xyzzy"]).output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DocumentError("the document is wrong"), 2),
        (InputError("the data are wrong"), 1),
        (TemporaryError("the disk is full"), 1),
        (OutageError("the store does not answer"), 69),
        (AutoLLMError("it failed"), 1),
        (Interrupted("stopped after saving"), 143),
        (KeyboardInterrupt(), 130),
        (click.UsageError("the usage is wrong"), 2),
    ],
)
def test_an_error_is_one_message_and_an_exit_code(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    @click.command()
    def probe() -> None:
        raise error

    with_command(monkeypatch, lambda: probe)
    result = CliRunner().invoke(main, ["probe"])
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert (str(error) or "interrupted") in result.output


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "runs/x"), "Error: runs/x cannot be used: Permission denied\n"),
        (TimeoutError("timed out"), "Error: timed out\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
    ],
)
def test_an_error_of_the_operating_system_says_what_it_is_about(monkeypatch: pytest.MonkeyPatch, error: OSError, said: str) -> None:
    @click.command()
    def probe() -> None:
        raise error

    with_command(monkeypatch, lambda: probe)
    result = CliRunner().invoke(main, ["probe"])
    assert (result.exit_code, result.output) == (1, said)


def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def probe() -> None:
        raise ZeroDivisionError

    with_command(monkeypatch, lambda: probe)
    assert isinstance(CliRunner().invoke(main, ["probe"]).exception, ZeroDivisionError)


def test_a_command_whose_packages_are_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with_command(monkeypatch, missing, "autollm_runtime.commands.probe")
    result = CliRunner().invoke(main, ["probe"])
    assert result.exit_code == 2
    assert "needs the package 'torch'" in result.output
    assert "pip install '.[runtime]'" in result.output


def test_what_is_no_command_is_a_mistake_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, lambda: None)
    assert isinstance(CliRunner().invoke(main, ["probe"]).exception, TypeError)


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ('"""One line."""\n', "One line."),
        ('# a comment\n\n"""First.\n\nSecond.\n"""\nimport missing\n', "First."),
        ("import missing\n", ""),
        ("", ""),
    ],
)
def test_a_summary_is_read_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, summary: str) -> None:
    (tmp_path / "summarised.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert module_summary("summarised") == summary
    assert "summarised" not in sys.modules


def test_a_module_that_is_not_there_has_no_summary() -> None:
    assert module_summary("autollm.none") == module_summary("none.at.all") == ""


def test_the_package_is_a_program_too() -> None:
    done = subprocess.run([sys.executable, "-m", "autollm", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("autollm ")
