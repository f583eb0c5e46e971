"""What a command is about: a folder, or an object in a cluster, which is opened by an entry point of another package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

import autollm.cli.place
from autollm.cli import main
from autollm.cli.place import Kind
from autollm.errors import OutageError
from autollm.report.state import RunState, read_state
from support.sample_run import write_sample_run


class OneRunCluster:
    """A cluster with one run, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[object, ...]] = []
        self.failures = ["job/quickstart-1 (Error)"]
        self.away = 0  # for so many questions

    def outline(self, run: str) -> RunState:
        self.asked.append(("outline", run))
        if self.away:
            self.away -= 1
            raise OutageError("the API server does not answer")
        return read_state(self.folder)

    def state(self, run: str) -> RunState:
        self.asked.append(("state", run))
        return read_state(self.folder)

    def logs(self, kind: Kind, name: str, task: str | None, *, follow: bool) -> Iterator[tuple[str, str]]:
        self.asked.append(("logs", kind, name, task, follow))
        yield "pod", "line"

    def forget_failures(self, run: str) -> Iterator[str]:
        self.asked.append(("forget_failures", run))
        yield from self.failures

    def look_again(self, run: str) -> Iterator[str]:
        self.asked.append(("look_again", run))
        yield "dt/quickstart-1"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OneRunCluster:
    opened = OneRunCluster(write_sample_run(tmp_path))

    def opens(namespace: str | None, context: str | None) -> OneRunCluster:
        opened.asked.append(("open", namespace, context))
        return opened

    class Point(EntryPoint):
        def load(self) -> object:
            return opens

    monkeypatch.setattr(autollm.cli.place, "entry_points", lambda *, group: [Point("fake", "fake:open", group)])
    return opened


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("run", ["alr/quickstart", "autollmrun/quickstart", "autollmruns.autollm.dev/quickstart"])
def test_a_run_in_a_cluster_is_written_as_for_kubectl(cluster: OneRunCluster, run: str) -> None:
    result = call("status", run, "-n", "team-a", "--context", "prod")
    assert result.exit_code == 0, result.output
    assert cluster.asked == [("open", "team-a", "prod"), ("outline", "quickstart")]


def test_a_look_at_a_server_that_is_away_does_not_say_that_the_run_failed(cluster: OneRunCluster) -> None:
    cluster.away = 1
    assert call("status", "alr/quickstart").exit_code == 69


def test_watch_outlasts_a_server_that_is_away_and_says_so_once(cluster: OneRunCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autollm.cli.watch.CLUSTER_LOOK_SECONDS", 0)
    cluster.away = 3
    result = call("watch", "alr/quickstart")
    assert result.exit_code == 0
    assert result.stdout.startswith("succeeded")
    assert result.stderr == "the API server does not answer; it is asked again, for 10 minutes at most\n"


def test_watch_gives_up_on_a_server_that_stays_away(cluster: OneRunCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autollm.cli.watch.CLUSTER_LOOK_SECONDS", 0)
    monkeypatch.setattr("autollm.cli.outage.time", SimpleNamespace(monotonic=iter(range(0, 10_000, 100)).__next__))
    cluster.away = 99
    result = call("watch", "alr/quickstart")
    assert (result.exit_code, result.stdout) == (69, "")
    assert "it has been away for 10 minutes" in result.stderr
    assert [asked[0] for asked in cluster.asked].count("outline") == 7


def test_a_report_is_of_the_whole_run_and_goes_where_it_is_asked_to(cluster: OneRunCluster, tmp_path: Path) -> None:
    assert call("report", "alr/quickstart", "--out", tmp_path / "here").exit_code == 0
    assert ("state", "quickstart") in cluster.asked
    assert (tmp_path / "here" / "report.html").is_file()


def test_logs_are_of_any_kind_and_each_line_says_whose_it_is(cluster: OneRunCluster) -> None:
    assert call("logs", "mt/quickstart-1", "--follow").stdout == "pod  line\n"
    assert cluster.asked[-1] == ("logs", "MergeTrial", "quickstart-1", None, True)


def test_no_logs_are_told_apart_from_no_answer(cluster: OneRunCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneRunCluster, "logs", lambda self, kind, name, task, *, follow: iter(()))
    result = call("logs", "alr/quickstart")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "alr/quickstart has no logs" in result.stderr


def test_a_run_in_a_cluster_is_rolled_back_by_its_document(cluster: OneRunCluster) -> None:
    result = call("rollback", "alr/quickstart", "-n", "team-a", "--to", "r3")
    assert result.exit_code == 2
    assert "write publish: {pin: r3} into its document" in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", ["status", "watch", "report", "retry", "rollback"])
def test_other_commands_are_about_runs(cluster: OneRunCluster, command: str) -> None:
    result = call(command, "dt/quickstart-1")
    assert result.exit_code == 2
    assert "dt/quickstart-1 is no run" in result.stderr
    assert cluster.asked == []


@pytest.mark.parametrize("text", ["alr/Foo_X", "autollmruns.autollm.dev/", "alr/a/b"])
def test_what_can_be_no_name_is_not_taken_for_a_folder(text: str) -> None:
    result = call("status", text)
    assert result.exit_code == 2
    assert f"{text}: {text.partition('/')[2]!r} is no name in a cluster: those have small letters" in " ".join(result.stderr.split())


def test_a_folder_has_no_namespace(tmp_path: Path) -> None:
    result = call("status", tmp_path, "-n", "team-a")
    assert result.exit_code == 2
    assert "is a folder: write alr/NAME" in result.stderr


def test_a_folder_called_like_a_kind_is_written_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sample_run(tmp_path)
    (tmp_path / "runs").rename(tmp_path / "alr")
    monkeypatch.chdir(tmp_path)
    assert call("status", "./alr/quickstart").stdout.startswith("quickstart  succeeded")


def test_without_the_operators_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autollm.cli.place, "entry_points", lambda *, group: [])
    result = call("status", "alr/quickstart")
    assert result.exit_code == 2
    assert "pip install '.[operator]'" in result.stderr


def test_retry_says_what_it_removed_or_that_nothing_failed(cluster: OneRunCluster) -> None:
    assert call("retry", "alr/quickstart").stdout == "removed job/quickstart-1 (Error)\nThe operator tries again.\n"
    cluster.failures = []
    assert call("retry", "alr/quickstart").stdout == "alr/quickstart has nothing that failed: there is nothing to try again.\n"
    assert [asked[0] for asked in cluster.asked] == ["open", "forget_failures", "open", "forget_failures"]


def test_who_looks_again_asks_for_that_before_anything_is_removed(cluster: OneRunCluster) -> None:
    cluster.failures = []
    said = call("retry", "alr/quickstart", "--look-again").stdout
    assert said == "removed dt/quickstart-1\nThe operator looks at sources and artifacts again.\n"
    assert [asked[0] for asked in cluster.asked] == ["open", "look_again", "forget_failures"]


def test_a_folder_needs_no_retry(tmp_path: Path) -> None:
    result = call("retry", write_sample_run(tmp_path))
    assert result.exit_code == 2
    assert "`autollm run` with its document again" in result.stderr
