"""From a URI to a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autollm.errors import InputError
from autollm.store import AccessDeniedError, NotFoundError, open_location, open_store
from autollm.store.hub import HubRepo, parse_hub_uri
from autollm.store.objects import objects_at


@pytest.mark.parametrize("form", ["{path}", "file://{path}", "file://localhost{path}", "{path}/"])
def test_a_folder_in_every_spelling(form: str, tmp_path: Path) -> None:
    open_store(form.format(path=tmp_path)).write("a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    store, key = open_location(form.format(path=tmp_path / "a"))
    assert (key, store.read(key)) == ("a", b"1")


def test_relative_paths_count_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("runs/math").write("a", b"1")
    assert (tmp_path / "runs/math/a").exists()
    store, key = open_location("runs/math")
    assert list(objects_at(store, key)) == ["math/a"]
    assert store.local_path(key) == tmp_path / "runs/math"


def test_a_path_that_ends_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here")
    store, key = open_location("..")
    assert f"{key}/a" in list(objects_at(store, key))
    assert store.read(f"{key}/a") == b"1"


def test_spaces_and_signs_are_escaped_in_file_uris(tmp_path: Path) -> None:
    folder = tmp_path / "my data ä#?"
    open_store(folder.as_uri()).write("a", b"1")
    assert (folder / "a").exists()


def test_package_files_are_read_without_running_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this code ran')")
    (package / "inner" / "__init__.py").write_text("raise RuntimeError('this code ran')")
    (package / "inner" / "data.jsonl").write_bytes(b"{}")
    (tmp_path / "some_module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    for uri in ("package://some_package/inner/data.jsonl", "package://some_package.inner/data.jsonl"):
        store, key = open_location(uri)
        assert store.read(key) == b"{}"
        assert store.local_path(key) == package / "inner" / "data.jsonl"
    store = open_store("package://some_package/inner")
    with pytest.raises(AccessDeniedError, match=r"package://some_package\.inner/a cannot be written"):
        store.write("a", b"1")
    with pytest.raises(AccessDeniedError):
        store.upload(package / "__init__.py", "a")
    with pytest.raises(AccessDeniedError):
        store.delete("data.jsonl")
    with pytest.raises(NotFoundError, match=r"there is no package://some_package\.inner/other"):
        store.read("other")
    with pytest.raises(InputError, match="has no folder of files"):
        open_store("package://some_module")
    with pytest.raises(NotFoundError, match="no package 'not_there' is installed"):
        open_store("package://not_there/a")
    with pytest.raises(InputError, match="names no Python package"):
        open_store("package://../a")
    with pytest.raises(InputError, match="the key"):
        open_location("package://some_package/../some_module.py")[0].read("../some_module.py")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://example.org/a", "unknown scheme 'http': use s3://"),
        ("", "an empty path names no place"),
        ("file://data/a", "write file:///path with three slashes"),
        ("file://", "write file:///path with three slashes"),
        ("s3://", "names no bucket"),
        ("hf://only-a-name", "names no model of the Hub"),
        ("hf://org/name/file", "names no model of the Hub"),
    ],
)
def test_uris_that_no_store_has(uri: str, message: str) -> None:
    for opened in (open_store, open_location):
        with pytest.raises(InputError, match=message):
            opened(uri)


def test_hub_uris() -> None:
    assert parse_hub_uri("hf://org/name") == HubRepo("org/name")
    assert parse_hub_uri("hf://org/name@v1.0") == HubRepo("org/name", "v1.0") == parse_hub_uri("hf://org/name", "v1.0")
    assert parse_hub_uri("hf://org/name@v1.0", "v1.0").uri == "hf://org/name@v1.0"
    with pytest.raises(InputError, match="asks for revision 'a', but the field revision says 'b'"):
        parse_hub_uri("hf://org/name@a", "b")


def test_nothing_heavy_is_imported_before_a_uri_asks_for_it() -> None:
    code = "import sys, autollm.store; print(*{'boto3', 'botocore', 'huggingface_hub', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
