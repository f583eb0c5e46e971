"""The commands that look at the folder of a run: status, watch, report, compare, rollback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.contract.layout import LATEST, revision_manifest, revision_prefix
from autollm.contract.manifests import Pointer, RevisionManifest
from autollm.local.lock import locked
from autollm.local.paths import RunFolder
from autollm.report.state import read_state
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.store import Store, StoreUnavailableError, open_store
from autollm.store.revisions import move_pointer, read_pointer, verify_revision
from support.sample_run import sample_run, scored_trials, training_under_way, write_sample_run
from support.world import AnyErrand

SHORT = {"trials": 6, "optimizer": {"random": {}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def published(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    shutil.copytree(finished.parents[1], tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "runs" / finished.name
    document = next((folder / "objects").glob("autollmruns/*/object.json"))
    document.write_text(document.read_text().replace(str(finished.parents[1]), str(tmp_path)))
    return folder


@pytest.fixture
def not_a_run(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Path]:
    """A run whose engine, this process, is searching."""
    folder = write_sample_run(tmp_path, until=scored_trials(3))
    with locked(RunFolder(folder).lock):
        yield folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def store_of(folder: Path) -> Store:
    return open_store(f"file://{folder.parents[1]}/artifacts")


@pytest.mark.parametrize("command", ["status", "watch", "report", "compare", "rollback"])
def test_a_folder_of_something_else_is_refused_with_the_remedy(command: str, not_a_run: Path) -> None:
    result = call(command, not_a_run)
    assert result.exit_code == 1
    assert f"{not_a_run} is not the folder of a run" in result.stderr
    assert "autollm run" in result.stderr


@pytest.mark.parametrize("command", ["status", "watch", "report", "compare", "rollback"])
def test_a_folder_that_is_not_there_is_wrong_usage(command: str, tmp_path: Path) -> None:
    result = call(command, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_status_of_a_finished_run(finished: Path) -> None:
    result = call("status", finished)
    assert result.exit_code == 0
    assert result.stdout.startswith("quickstart  succeeded")
    assert "auto = base + " in result.stdout
    assert f"latest: r1 in file://{finished.parents[1]}/artifacts" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_terminal_that_lacks_a_character_gets_its_number(finished: Path) -> None:
    result = CliRunner(charset="ascii").invoke(main, ["status", str(finished)])
    assert result.exit_code == 0, result.exception
    assert "\\u2713  Validated" in result.stdout


def test_status_shows_where_latest_points_whoever_moved_it(published: Path) -> None:
    second_revision(published)
    assert "latest: r2 in " in call("status", published).stdout


def test_status_goes_without_artifacts_that_cannot_be_read(published: Path) -> None:
    (published.parents[1] / "artifacts" / "latest.json").write_text("{")
    result = call("status", published)
    assert result.exit_code == 0
    assert "latest: unknown: " in result.stdout


def test_status_for_programs_is_the_status_itself(finished: Path) -> None:
    status = json.loads(call("status", finished, "--format", "json").stdout)
    assert status["published"]["revision"] == "r1"
    assert {condition["type"] for condition in status["conditions"]} >= {"Succeeded", "Published"}


def test_status_of_a_search_under_way(at_work: Path) -> None:
    result = call("status", at_work)
    assert result.stdout.startswith("quickstart  running")
    assert "3 of 24 trials are done." in result.stdout


def test_status_of_a_training_under_way(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path, until=training_under_way)
    with locked(RunFolder(folder).lock):
        assert "math/sft: step 45 of 100, loss 1.234, 812 tokens/s" in call("status", folder).stdout


def test_status_of_a_run_whose_engine_is_gone(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path, until=scored_trials(3))
    assert call("status", folder).stdout.startswith("quickstart  interrupted  `autollm run` goes on")


def test_watch_ends_with_the_run(at_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = write_sample_run(tmp_path / "later", run=sample_run(tmp_path / "artifacts"))
    looks = []

    def meanwhile(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            shutil.rmtree(at_work / "objects")
            shutil.copytree(finished / "objects", at_work / "objects")

    monkeypatch.setattr("autollm.cli.watch.time.sleep", meanwhile)
    result = call("watch", at_work)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "running, Searching: 3 of 24 trials are done."
    assert lines[1].startswith("succeeded, Published: ")
    assert len(lines) == 2, "a line is written when something changed, not at every look"
    assert len(looks) == 2


def test_watch_of_a_failed_run_fails(tmp_path: Path) -> None:
    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        return None if isinstance(work, MergeTrial) else Failure(reason="EmptyFile", message="sources: math holds no record")

    result = call("watch", write_sample_run(tmp_path, fails=fails))
    assert result.exit_code == 1
    assert result.stdout.startswith("failed, EmptyFile: sources: math holds no record")


def test_watch_ends_where_the_run_is_suspended(tmp_path: Path) -> None:
    run = sample_run(tmp_path / "artifacts", suspend=True)
    folder = write_sample_run(tmp_path, run=run)
    with locked(RunFolder(folder).lock):
        result = call("watch", folder)
    assert result.exit_code == 0
    assert result.stdout == "paused, Suspended: suspend is true: set it to false to go on.\n"


def test_watch_ends_where_nobody_is_at_work(tmp_path: Path) -> None:
    result = call("watch", write_sample_run(tmp_path, until=scored_trials(3)))
    assert result.exit_code == 0
    assert result.stdout.startswith("interrupted, Searching")


def test_report_writes_both_files_and_says_where(published: Path) -> None:
    result = call("report", published)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(published / "report.html"), str(published / "results.json")]
    assert json.loads((published / "results.json").read_text())["run"] == "quickstart"
    assert (published / "report.html").read_text().startswith("<!doctype html>")


def test_compare_puts_runs_side_by_side(finished: Path, tmp_path: Path) -> None:
    other = write_sample_run(tmp_path, run=sample_run(tmp_path / "artifacts", "shorter", search=SHORT))
    result = call("compare", finished, other)
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["model", "quickstart", "shorter"]
    assert [row.split()[0] for row in rows][:2] == ["base", "math/sft"]
    base = rows[0].split()
    assert base[1:3] == base[3:5], "the base model is the same in both"
    assert "different test items" not in result.stdout


def test_compare_of_two_folders_of_one_name_names_the_folders(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    other = write_sample_run(tmp_path, run=sample_run(tmp_path / "artifacts", search=SHORT))
    head = call("compare", finished, other).stdout.splitlines()[0]
    assert head.split() == ["model", str(finished), str(other)]


def test_compare_warns_of_other_items_and_of_runs_without_results(finished: Path, tmp_path: Path) -> None:
    begun = write_sample_run(tmp_path, run=sample_run(tmp_path / "artifacts", "begun"), until=lambda world: True)
    result = call("compare", finished, begun)
    assert f"{begun} has no results yet." in result.stdout
    assert "different test items" in result.stdout


def second_revision(folder: Path) -> None:
    """Publish the first revision again, as the second."""
    store = store_of(folder)
    for key in list(store.list(revision_prefix("r1"))):
        store.write(key.replace("/r1/", "/r2/"), store.read(key))
    status = read_state(folder).status
    changes = {"revision": "r2", "model": status.model}
    manifest = RevisionManifest.parse(json.loads(store.read(revision_manifest("r1")))).model_copy(update=changes)
    store.write(revision_manifest("r2"), json.dumps(manifest.document()).encode())
    _, digest = verify_revision(store, "r2")
    found = read_pointer(store)
    assert found is not None
    move_pointer(store, Pointer(revision="r2", digest=digest, previous="r1"), found[1])


def test_rollback_goes_to_the_revision_before(published: Path) -> None:
    second_revision(published)
    result = call("rollback", published)
    assert result.exit_code == 0
    assert result.stdout == f"latest points to r1 in file://{published.parents[1]}/artifacts\n"
    found = read_pointer(store_of(published))
    assert found is not None
    assert found[0].revision == "r1"


def test_report_and_results_say_what_latest_points_to(published: Path) -> None:
    def told() -> tuple[str, bool]:
        page = (published / "report.html").read_text()
        return json.loads((published / "results.json").read_text())["published"]["revision"], "latest was moved to r2" in page

    second_revision(published)
    call("report", published)
    assert told() == ("r2", True)
    assert call("rollback", published).exit_code == 0
    assert told() == ("r1", False)


def test_a_report_does_without_artifacts_that_do_not_answer(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> Store:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr("autollm.report.gather.open_store", silent)
    assert call("report", published).exit_code == 0
    assert json.loads((published / "results.json").read_text())["published"]["revision"] == "r1"


def test_a_damaged_pointer_leaves_the_report_with_what_the_run_saw(published: Path) -> None:
    store_of(published).write(LATEST, b"{")
    result = call("report", published)
    assert result.exit_code == 0
    assert json.loads((published / "results.json").read_text())["published"]["revision"] == "r1"


def test_rollback_goes_forward_again_by_name(published: Path) -> None:
    second_revision(published)
    call("rollback", published)
    assert call("rollback", published, "--to", "r2").stdout.startswith("latest points to r2 in ")


def test_rollback_to_a_revision_that_is_not_there_names_those_that_are(published: Path) -> None:
    result = call("rollback", published, "--to", "r7")
    assert result.exit_code == 1
    assert "has no revision 'r7': there are r1" in result.stderr


def test_rollback_without_an_earlier_revision(published: Path) -> None:
    result = call("rollback", published)
    assert result.exit_code == 1
    assert "no revision was published before 'r1'" in result.stderr


def test_rollback_to_a_damaged_revision_leaves_latest_alone(published: Path) -> None:
    second_revision(published)
    store_of(published).write(revision_prefix("r1") + "config.json", b"{}")
    result = call("rollback", published)
    assert result.exit_code == 1
    assert "config.json is damaged" in result.stderr
    found = read_pointer(store_of(published))
    assert found is not None
    assert found[0].revision == "r2"
    assert store_of(published).stat(revision_manifest("r1")) is not None


def test_rollback_where_nothing_was_published(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path, run=sample_run(tmp_path / "artifacts", search={**SHORT, "trials": 1}))
    result = call("rollback", folder)
    assert result.exit_code == 1
    assert "has no published revision" in result.stderr
