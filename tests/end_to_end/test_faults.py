"""Everything that can be wrong, tried on the command line: each is told in a sentence with place, value and remedy, and nothing is lost.

Exit code 2 is for the document, 1 for what fails in the run. A run whose fault was mended goes on where it stopped.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.contract.folder import ObjectFolder
from support import faulty_models as faulty
from support.file_limit import file_limit
from support.ports import free_port
from support.runs import merged
from support.tiny_run import DOCUMENT, autollm, command, count_rows, environment
from support.versitygw import S3Server, built_server

pytestmark = pytest.mark.timeout(1800)

SMALL: dict[str, Any] = {
    "model": {"dtype": "Float32"},
    "sources": [{"name": "math", "file": {"uri": "math.jsonl"}}],
    "training": {"adapter": {"lora": {"rank": 2, "alpha": 4}}, "methods": [{"name": "sft", "sft": {"batchSize": 8, "epochs": 1}}]},
    "search": {"trials": 2, "finalists": 1, "optimizer": {"random": {}}},
}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


ROWS: list[dict[str, str]] = count_rows(0, 60)
GOOD = lines(*ROWS)
CHAT = [{"role": "user", "content": "1 2"}, {"role": "assistant", "content": "3 4"}]
PAIRS = lines(*({"prompt": f"{number}?", "chosen": f"{number}!", "rejected": "no"} for number in range(60)))


class Folder:
    """A run of one source in a folder of its own, driven by `autollm run` in this process."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root = root
        self._model = model
        self.give(GOOD)
        self.apply()

    def give(self, data: bytes) -> None:
        """Write the data."""
        (self.root / "math.jsonl").write_bytes(data)

    def apply(self, **changes: Any) -> None:
        """Write the document, with changes to its spec."""
        spec = merged(merged(merged(DOCUMENT["spec"], SMALL), {"model": {"uri": str(self._model)}}), changes)
        self.write(DOCUMENT | {"metadata": {"name": "demo"}, "spec": spec})

    def write(self, document: dict[str, Any]) -> None:
        """Write a document as it is."""
        (self.root / "run.json").write_text(json.dumps(document))

    @property
    def document(self) -> dict[str, Any]:
        """The document that was written last."""
        document: dict[str, Any] = json.loads((self.root / "run.json").read_bytes())
        return document

    def run(self, *words: str) -> Result:
        """`autollm run`, or another command on the document."""
        folder = [] if words else ["--folder", str(self.root / "run")]
        return CliRunner().invoke(main, [*(words or ("run",)), str(self.root / "run.json"), *folder])

    def tasks(self, kind: str) -> int:
        """How many tasks of a kind were begun so far."""
        return len(list((self.root / "run" / "tasks").glob(f"demo-{kind}-*")))

    def outcomes(self, kind: Any, part: str) -> dict[str, int]:
        """When each result of a kind was written."""
        root = ObjectFolder(self.root / "run" / "objects").root
        return {str(path): path.stat().st_mtime_ns for path in root.glob(f"{kind}/*/{part}.json")}

    def artifact(self, pattern: str) -> Path:
        """The newest artifact whose path is like that."""
        return max((self.root / "artifacts").glob(pattern), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, worker_program: list[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr("autollm.local.server.worker_program", lambda: worker_program)
    monkeypatch.setattr("autollm.plan.retries.FIRST_WAIT", timedelta(milliseconds=1))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Folder(tmp_path, tiny_model)


def assert_told(result: Result, code: int, *words: str) -> None:
    """The command ended with this code and one sentence with these words, and without a traceback."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    told = result.stderr[result.stderr.index("Error: ") :]
    assert all(word in told for word in words), told


def assert_succeeds(result: Result) -> None:
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# What is wrong with the document: exit code 2 from `validate` and from `run`, and nothing is begun.
DOCUMENTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("unknown-field", {"spec": {"search": {"trails": 3}}}, ["spec.search.trails", "did you mean 'trials'?"]),
    ("unknown-kind", {"kind": "AutoLLMRum"}, ["kind", "AutoLLMRum", "did you mean 'AutoLLMRun'?"]),
    ("two-union-members", {"spec": {"search": {"optimizer": {"bayesian": {}}}}}, ["spec.search.optimizer", "bayesian", "random", "one"]),
    ("bounds-reversed", {"spec": {"search": {"space": {"min": "1", "max": "-1"}}}}, ["spec.search.space", "min", "max"]),
    ("name-too-long", {"metadata": {"name": "a" * 41}}, ["metadata.name", "a" * 41, "40"]),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in DOCUMENTS], ids=[case[0] for case in DOCUMENTS])
def test_a_wrong_document(folder: Folder, changes: dict[str, Any], words: list[str]) -> None:
    folder.write(merged(folder.document, changes))
    checked = folder.run("validate")
    assert checked.exit_code == 2
    assert all(word in checked.stderr for word in words), checked.stderr
    assert_told(folder.run(), 2, *words)
    assert not (folder.root / "run").exists()


# What is wrong with the data: its reason, and words of the sentence that names the place and the remedy.
DATA: list[tuple[str, bytes, list[str]]] = [
    ("empty", b"", ["EmptyFile", "source math", "math.jsonl", "give a file with records"]),
    ("truncated", GOOD[:-9], ["TruncatedFile", "math.jsonl, line 60", "copy it again"]),
    ("not-utf-8", GOOD + '{"prompt": "Größe?", "completion": "x"}\n'.encode("latin-1"), ["NotUTF8", "line 61", "0xf6", "iconv"]),
    ("mixed-formats", GOOD + lines({"messages": CHAT}), ["MixedFormats", "line 61", "Messages", "a file of its own"]),
    ("gigantic-line", GOOD + b'{"prompt": "' + b"a" * (17 << 20) + b'"}\n', ["LineTooLong", "line 61", "16 MiB", "one record a line"]),
    ("one-record", lines(ROWS[0]), ["OneRecord", "sources", "give more records"]),
    ("all-duplicates", lines(*[ROWS[0]] * 50), ["OneRecord", "one record in all", "give more records"]),
    ("role-missing", lines({"messages": [*CHAT, {"content": "?"}]}), ["MissingRole", "line 1", "'messages'", "'role'"]),
    ("column-missing", GOOD + lines({"prompt": "alone"}), ["MissingColumn", "line 61", "'completion'"]),
    ("completions-empty", lines(*({"prompt": str(number), "completion": " "} for number in range(9))), ["NoRecords", "EmptyCompletion 9"]),
    (
        "texts-for-sft",
        lines(*({"text": f"Text {number}"} for number in range(60))),
        ["ShapeUnused", "only texts", "add a method", "pretrain"],
    ),
]


@pytest.mark.parametrize(("data", "words"), [case[1:] for case in DATA], ids=[case[0] for case in DATA])
def test_wrong_data(folder: Folder, data: bytes, words: list[str]) -> None:
    folder.give(data)
    assert_told(folder.run(), 1, *words)
    assert not list((folder.root / "run" / "objects").glob("*/*/prepared.json"))


def test_held_out_data_that_leaks_whole(folder: Folder) -> None:
    (folder.root / "exam.jsonl").write_bytes(lines(*(row | {"completion": "another"} for row in ROWS)))
    exam = {"name": "exam", "file": {"uri": "exam.jsonl"}, "use": "Test"}
    folder.apply(sources=[*SMALL["sources"], exam], data={"split": {"test": "0"}})
    assert_told(folder.run(), 1, "NoRecords", "source exam", "Leaked 60", "records of their own")


def test_chats_for_dpo_alone(folder: Folder) -> None:
    folder.apply(training={"methods": [{"name": "dpo", "dpo": {}}]})
    assert_told(folder.run(), 1, "ShapeUnused", "source math has only chats", "dpo (dpo) needs preferences", "add a method that does (sft)")


# What is wrong with the base model or with a ready-made delta.
Make = Callable[[Path], str]
MODELS: list[tuple[Make, list[str]]] = [
    (faulty.model_without_template, ["NoChatTemplate", "add chat_template.jinja", "records with text"]),
    (faulty.model_without_a_shard, ["ShardMissing", "model.uri", "model-00002-of-00002.safetensors", "copy or download the model again"]),
    (faulty.model_cut_short, ["Damaged", "model.uri", "model.safetensors", "copy or download it again"]),
    (faulty.model_as_pickle, ["PickleOnly", "model.uri", "pytorch_model.bin", "safe_serialization=True"]),
]
DELTAS: list[tuple[Make, str, list[str]]] = [
    (faulty.adapter_of_another_base, "lora", ["OtherBase", "deltas, tone", "layers.7", "made from this base"]),
    (faulty.adapter_of_another_shape, "lora", ["OtherBase", "deltas, tone", "[48, 48]", "[32, 32]"]),
    (faulty.adapter_with_nan, "lora", ["NonFinite", "deltas, tone", "lora_A", "NaN or infinity"]),
    (faulty.tuned_from_another_base, "full", ["OtherBase", "deltas, tone", "[259, 48]", "tuned from this base"]),
]


@pytest.mark.parametrize(("make", "words"), MODELS, ids=lambda part: part.__name__ if callable(part) else "")
def test_a_wrong_model(folder: Folder, make: Make, words: list[str]) -> None:
    folder.apply(model={"uri": make(folder.root)})
    assert_told(folder.run(), 1, *words)


@pytest.mark.parametrize(("make", "form", "words"), DELTAS, ids=lambda part: part.__name__ if callable(part) else "")
def test_a_wrong_delta(folder: Folder, make: Make, form: str, words: list[str]) -> None:
    uri = make(folder.root)
    folder.apply(deltas=[{"name": "tone", form: {"uri": uri} if form == "lora" else {"tuned": uri}}])
    assert_told(folder.run(), 1, *words)


class TestStore:
    """Artifacts in S3 that cannot be reached."""

    @pytest.fixture(autouse=True)
    def keys(self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)

    def test_a_missing_bucket(self, folder: Folder, s3_server: S3Server) -> None:
        folder.apply(artifacts={"uri": "s3://absent/demo"})
        assert_told(folder.run(), 1, "NotFound", "there is no bucket 'absent'", s3_server.endpoint, "create it, or mend the URI")

    @pytest.mark.parametrize(
        ("variable", "words"),
        [("AWS_ACCESS_KEY_ID", "does not know the access key"), ("AWS_SECRET_ACCESS_KEY", "does not belong to the access key")],
    )
    def test_a_wrong_key(self, folder: Folder, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, variable: str, words: str) -> None:
        s3_server.make_bucket(f"wrong-{variable.lower().replace('_', '-')}")
        monkeypatch.setenv(variable, "not-the-one")
        folder.apply(artifacts={"uri": f"s3://wrong-{variable.lower().replace('_', '-')}/demo"})
        result = folder.run()
        assert_told(result, 1, "AccessDenied", words, f"check {variable}")
        assert "not-the-one" not in result.output
        assert s3_server.secret_key not in result.output

    def test_an_endpoint_that_is_down_and_comes_back(self, folder: Folder, tmp_path: Path) -> None:
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        folder.apply(artifacts={"uri": "s3://late/demo", "endpoint": endpoint})
        assert_told(folder.run(), 1, "StoreUnavailable", endpoint, "does not answer", "check the endpoint and the network")
        (tmp_path / "server").mkdir()
        with built_server(tmp_path / "server", port=port) as server:
            server.make_bucket("late")
            assert_succeeds(folder.run())


class TestNothingIsLost:
    """What was finished before the fault is there after it was mended, and is not made again."""

    def test_mended_data(self, folder: Folder) -> None:
        folder.give(GOOD[:-9])
        assert_told(folder.run(), 1, "TruncatedFile")
        folder.give(PAIRS)  # of which sft learns the chosen answers
        assert_succeeds(folder.run())
        prepared = folder.tasks("prepare")
        assert_succeeds(folder.run())
        assert folder.tasks("prepare") == prepared

    def test_flipped_bytes_in_the_artifacts(self, folder: Folder) -> None:
        assert_succeeds(folder.run())
        trials, trained = folder.outcomes("mergetrials", "result"), folder.outcomes("deltatrainings", "delta")
        chunk, delta = folder.artifact("records/*"), folder.artifact("deltas/*/*/adapter_model.safetensors")

        flip_a_byte(delta)
        folder.apply(search={"trials": 3})
        assert_told(folder.run(), 1, "DigestMismatch", str(delta), "damaged", "and it is made again")
        flip_a_byte(chunk)
        (delta.parent.parent / "manifest.json").unlink()
        assert_told(folder.run(), 1, "TrainingFailed", "math/sft", str(chunk), "damaged", "remove it, so that it is made again")
        chunk.unlink()
        assert_succeeds(folder.run())

        after = folder.outcomes("mergetrials", "result")
        assert {name: after[name] for name in trials} == trials
        assert folder.outcomes("deltatrainings", "delta").keys() == trained.keys()

    def test_a_full_disk(self, folder: Folder) -> None:
        with file_limit(3000):
            assert_told(folder.run(), 1, "DiskFull", "no space is left", "prepare", "free some")
        with file_limit(100_000):
            assert_told(folder.run(), 1, "DiskFull", "no space is left", "publish", "free some")
        trials = folder.outcomes("mergetrials", "result")
        assert trials
        assert_succeeds(folder.run())
        assert folder.outcomes("mergetrials", "result") == trials


@pytest.fixture
def engine(tmp_path: Path, tiny_model: Path) -> Iterator[subprocess.Popen[str]]:
    """An engine in a process of its own, with everything as a user has it."""
    Folder(tmp_path, tiny_model)
    process = subprocess.Popen(command("run", "run.json"), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_two_engines_on_one_folder(engine: subprocess.Popen[str], tmp_path: Path) -> None:
    assert engine.stderr is not None
    assert "Preparing" in engine.stderr.readline()
    second = autollm("run", "run.json", cwd=tmp_path)
    assert second.returncode == 1
    assert second.stderr.startswith(
        f"Error: another `autollm run` (process {engine.pid}) works on {tmp_path / 'runs' / 'demo'}; wait for it"
    )
    assert engine.poll() is None
