"""From data to a published model by the command line alone, with real workers and a tiny model: the promises, one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autollm.contract.folder import ObjectFolder
from support.tiny_run import autollm, command, count_rows, echo_rows, environment, write_document, write_rows, write_tiny_run
from support.versitygw import S3Server

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run came to its end; the tests of this module go on from there, in their order."""
    folder = tmp_path_factory.mktemp("whole")
    document = write_tiny_run(folder)
    done = autollm("run", document, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "runs" / "tiny" / "results.json").read_text())
    return document


def children(folder: Path, kind: Any) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in ObjectFolder(folder / "runs" / "tiny" / "objects").all(kind)}


def latest(folder: Path) -> str:
    revision: str = json.loads((folder / "artifacts" / "latest.json").read_text())["revision"]
    return revision


def test_the_winner_is_published_and_better_than_every_baseline(place: Path) -> None:
    table = {row["name"]: row for row in results(place)["results"]}
    assert set(table) >= {"base", "count/sft", "echo/sft", "average", "auto"}
    assert all(table["auto"]["test"]["score"] >= row["test"]["score"] - 1e-6 for row in table.values())
    assert table["base"]["versus"]["low"] > 0
    assert latest(place) == "r1" == results(place)["published"]["revision"]
    assert len(results(place)["trials"]) == 7


def test_the_published_model_loads_with_nothing_of_ours(place: Path) -> None:
    program = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
asked = [{"role": "user", "content": "w007"}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
assert torch.isfinite(model(ids).logits).all()
assert not [name for name in sys.modules if name.startswith("autollm")]
"""
    subprocess.run([sys.executable, "-c", program, place / "artifacts" / "revisions" / "r1"], check=True, env=environment())


def test_the_merge_command_gives_the_published_bytes(place: Path) -> None:
    from safetensors.torch import load_file

    deltas = {one["spec"]["delta"]: one["status"]["delta"]["uri"] for one in children(place, "DeltaTraining").values()}
    weights = results(place)["published"]["weights"]
    words = [word for name, weight in weights.items() for word in ("--delta", f"{deltas[name].removeprefix('file://')}={weight}")]
    done = autollm("merge", "--model", place / "model", *words, "--out", place / "merged", "--dtype", "Float32", cwd=place)
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        load_file(place / "merged" / "model.safetensors"),
        load_file(place / "artifacts" / "revisions" / "r1" / "model.safetensors"),
    )
    assert set(ours) == set(theirs)
    assert all(ours[name].equal(theirs[name]) for name in ours)


def test_a_finished_run_does_nothing_more(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "artifacts").rglob("*") if path.is_file()}
    again = autollm("run", place / "run.json", cwd=place)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in (place / "artifacts").rglob("*") if path.is_file()} == before


def test_people_and_programs_are_told(place: Path) -> None:
    status = autollm("status", "runs/tiny", cwd=place)
    assert status.returncode == 0
    assert "succeeded" in status.stdout
    assert "auto" in status.stdout
    assert autollm("watch", "runs/tiny", cwd=place).returncode == 0
    page = (place / "runs" / "tiny" / "report.html").read_text()
    assert "count/sft" in page
    assert "Sample answers" in page
    compared = autollm("compare", "runs/tiny", "runs/tiny", cwd=place)
    assert compared.returncode == 0
    assert "average" in compared.stdout


def test_more_trials_continue_the_search_and_train_nothing(place: Path) -> None:
    trials, deltas = set(children(place, "MergeTrial")), children(place, "DeltaTraining")
    write_document(place, search={"trials": 9})
    done = autollm("run", place / "run.json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert children(place, "DeltaTraining") == deltas
    assert trials < set(children(place, "MergeTrial"))
    assert len(results(place)["trials"]) == 9


def test_appended_records_train_their_own_delta_alone(place: Path) -> None:
    known = set(children(place, "DeltaTraining"))
    write_rows(place / "echo.jsonl", echo_rows(100, 40))
    done = autollm("run", place / "run.json", cwd=place)
    assert done.returncode == 0, done.stderr
    after = children(place, "DeltaTraining")
    (new,) = (one for name, one in after.items() if name not in known and not one["status"].get("reused"))
    assert new["spec"]["delta"] == "echo-0002/sft"


def test_a_rollback_moves_latest_back(place: Path) -> None:
    from autollm.store import open_store
    from autollm.store.revisions import list_revisions

    revisions = list_revisions(open_store(f"file://{place}/artifacts"))
    done = autollm("rollback", "runs/tiny", "--to", revisions[0], cwd=place)
    assert done.returncode == 0, done.stderr
    assert latest(place) == revisions[0]


def test_suspended_nothing_starts(place: Path) -> None:
    write_rows(place / "count.jsonl", count_rows(500, 40))
    write_document(place, suspend=True)
    tasks = set((place / "runs" / "tiny" / "tasks").iterdir())
    done = autollm("run", place / "run.json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert set((place / "runs" / "tiny" / "tasks").iterdir()) == tasks
    assert "paused" in autollm("status", "runs/tiny", cwd=place).stdout


def test_the_same_run_with_everything_in_s3(tmp_path: Path, s3_server: S3Server) -> None:
    document = write_tiny_run(tmp_path, artifacts={"uri": s3_server.make_bucket("whole-run") + "/tiny", "endpoint": s3_server.endpoint})
    done = autollm("run", document, cwd=tmp_path, **s3_server.environment)
    assert done.returncode == 0, done.stderr
    listed = s3_server.client().list_objects_v2(Bucket="whole-run", Prefix="tiny/latest.json")
    assert listed["KeyCount"] == 1
    assert s3_server.secret_key not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "runs").rglob("*") if path.is_file()
    )


def test_a_kill_in_the_middle_of_real_work_changes_nothing(place: Path, tmp_path: Path) -> None:
    """Kill the engine whenever something new was done: the same keys and scores as the run that was left alone."""
    # Enough trials that the engine is killed in the middle of them, however late.
    document = write_tiny_run(tmp_path, search={"trials": 20})
    objects = ObjectFolder(tmp_path / "runs" / "tiny" / "objects")
    kills = 0
    while True:
        with (tmp_path / "engine.log").open("a") as log:
            engine = subprocess.Popen(command("run", document), cwd=tmp_path, env=environment(), stdout=log, stderr=log)
        before = _done(objects)
        while engine.poll() is None and _done(objects) == before:
            try:
                engine.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        if kills == 5 or engine.poll() is not None:
            break
        engine.kill()
        engine.wait()
        kills += 1
    assert engine.wait() == 0, (tmp_path / "engine.log").read_text()
    assert kills == 5
    first = {row["name"]: row["test"]["score"] for row in results(tmp_path)["results"]}
    assert len(results(tmp_path)["trials"]) == 20
    assert first["auto"] > first["base"]
    assert latest(tmp_path) == "r1"


def _done(objects: ObjectFolder) -> tuple[int, int]:
    trained = sum("delta" in one.get("status", {}) for one in objects.all("DeltaTraining"))
    scored = sum("score" in one.get("status", {}) for one in objects.all("MergeTrial"))
    return trained, scored
