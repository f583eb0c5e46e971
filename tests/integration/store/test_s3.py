"""S3 as it is in practice: parts, wrong settings, servers that go away, disks that are full."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from autollm.contract.digests import digest_file
from autollm.errors import InputError
from autollm.store import AccessDeniedError, DiskFullError, NotFoundError, StoreUnavailableError, open_location, open_store
from autollm.store.objects import objects_at
from autollm.store.s3 import S3Store
from autollm.store.s3_client import make_client
from support.file_limit import file_limit
from support.lossy_proxy import losing_first_answer
from support.versitygw import S3Server, built_server

PART = 5 << 20  # the smallest that S3 allows


def _random_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def test_a_large_file_travels_in_parts(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    store = S3Store(bucket, "models", part_size=PART)
    source = _random_file(tmp_path / "up", 2 * PART + 12345)
    stat = store.upload(source, "m.safetensors")
    assert stat.size == 2 * PART + 12345
    assert stat.etag.strip('"').endswith("-3")  # the mark of an object made of three parts
    store.download("m.safetensors", tmp_path / "down")
    assert digest_file(tmp_path / "down") == digest_file(source)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_location_outside_the_artifacts(bucket: str) -> None:
    open_store(f"s3://{bucket}").write("data/math/a.jsonl", b"1")
    store, key = open_location(f"s3://{bucket}/data/math/")
    assert list(objects_at(store, key)) == ["data/math/a.jsonl"]


def test_endpoint_and_region_may_be_given(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert open_store(f"s3://{bucket}", endpoint=s3_server.endpoint).write("a", b"1").size == 1
    assert open_store(f"s3://{bucket}", endpoint=s3_server.endpoint, region="us-east-1").read("a") == b"1"


def test_a_missing_bucket_is_named(bucket: str, tmp_path: Path) -> None:
    store = open_store("s3://not-there/prefix")
    source = _random_file(tmp_path / "up", 10)
    for act in (
        lambda: store.read("a"),
        lambda: store.stat("a"),
        lambda: store.write("a", b"1"),
        lambda: store.write("a", b"1", if_match="x"),
        lambda: store.upload(source, "a"),
        lambda: store.download("a", tmp_path / "down"),
        lambda: list(store.list()),
    ):
        with pytest.raises(NotFoundError, match=r"s3://not-there/prefix.*no bucket 'not-there' at http://127.*create it, or mend the URI"):
            act()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("AWS_ACCESS_KEY_ID", "does not know the access key: check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "the secret does not belong to the access key: check AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_key_is_told_from_a_wrong_secret(
    bucket: str, variable: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, "something-else")
    store = open_store(f"s3://{bucket}")
    source = _random_file(tmp_path / "up", 10)
    for act in (lambda: store.read("a"), lambda: store.stat("a"), lambda: store.write("a", b"1"), lambda: store.upload(source, "a")):
        with pytest.raises(AccessDeniedError, match=message) as caught:
            act()
        assert "something-else" not in str(caught.value)


def test_no_credentials_at_all(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(AccessDeniedError, match=r"no usable S3 credentials.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_store(f"s3://{bucket}").read("a")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDeniedError, match=r"nobody.*mend AWS_PROFILE"):
        open_store(f"s3://{bucket}")


def test_settings_that_cannot_be(bucket: str) -> None:
    with pytest.raises(InputError, match="'nonsense' is not an address"):
        open_store(f"s3://{bucket}", endpoint="nonsense")
    with pytest.raises(InputError, match="'Not a Bucket' cannot be the name of a bucket"):
        open_store("s3://Not a Bucket").read("a")
    with pytest.raises(InputError, match="names no bucket"):
        open_store("s3://")


@pytest.fixture
def endpoint_that_is_down() -> Iterator[str]:
    with socket.socket() as taken:  # so that no other server gets the port; nothing listens there
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_an_endpoint_that_is_down_is_reported_in_seconds(bucket: str, endpoint_that_is_down: str) -> None:
    endpoint = endpoint_that_is_down
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=f"s3://{bucket}/a: {endpoint} does not answer.*check the endpoint"):
        open_store(f"s3://{bucket}", endpoint=endpoint).write("a", b"1")
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("asked", "requests"), [(None, 8), ("3", 3)])
def test_who_would_rather_wait_for_a_server_that_is_away_says_how_often_it_is_asked(
    bucket: str, endpoint_that_is_down: str, monkeypatch: pytest.MonkeyPatch, asked: str | None, requests: int
) -> None:
    if asked is not None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    client, sent = make_client(endpoint_that_is_down, None), list[str]()
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.url))
    with pytest.raises(EndpointConnectionError):
        client.list_objects_v2(Bucket=bucket)
    assert len(sent) == requests


def test_a_server_killed_in_the_middle_of_an_upload_leaves_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _random_file(tmp_path / "up", 20 * PART)
    failures: list[BaseException] = []

    def upload() -> None:
        try:
            store.upload(source, "m.safetensors")
        except StoreUnavailableError as error:
            failures.append(error)

    with built_server(tmp_path / "server") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("models")
        store = S3Store("models", part_size=PART)
        thread = threading.Thread(target=upload)
        thread.start()
        while not [path for path in server.folder.glob("models/.sgwtmp/multipart/**/*") if path.is_file()]:
            assert thread.is_alive()
            thread.join(0.001)
        server.kill()
        thread.join()
        port = int(server.endpoint.rpartition(":")[2])
    assert [str(failure) for failure in failures if "m.safetensors" in str(failure)]
    with built_server(tmp_path / "server", port=port):
        assert store.stat("m.safetensors") is None
        assert list(store.list()) == []
        assert store.upload(source, "m.safetensors").size == 20 * PART


def test_a_stream_goes_on_after_the_server_came_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(64 << 20)
    with built_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("data")
        store = open_store("s3://data")
        store.write("a", data)
        file = store.open("a")
        assert file.read(1000) == data[:1000]
        server.kill()
        port = int(server.endpoint.rpartition(":")[2])
    with built_server(tmp_path, port=port), file:
        assert file.read() == data[1000:]


def test_a_stream_refuses_another_version(bucket: str) -> None:
    store = open_store(f"s3://{bucket}")
    store.write("a", b"first version")
    with store.open("a") as file:
        file.seek(6)
        store.write("a", b"other version")
        with pytest.raises(StoreUnavailableError, match="was replaced while it was read"):
            file.read()


def test_a_conditional_write_whose_answer_was_lost_has_not_lost_against_itself(bucket: str, s3_server: S3Server) -> None:
    direct = open_store(f"s3://{bucket}")
    with losing_first_answer(s3_server.endpoint) as endpoint:
        first = open_store(f"s3://{bucket}", endpoint=endpoint).write("manifest", b"mine", if_absent=True)
    assert direct.stat("manifest") == first
    with losing_first_answer(s3_server.endpoint) as endpoint:
        second = open_store(f"s3://{bucket}", endpoint=endpoint).write("manifest", b"mine too", if_match=first.etag)
    assert direct.stat("manifest") == second
    assert direct.read("manifest") == b"mine too"


def test_a_full_disk_leaves_no_file(bucket: str, tmp_path: Path) -> None:
    store = S3Store(bucket, part_size=PART)
    store.upload(_random_file(tmp_path / "up", 2 * PART), "m.safetensors")
    with file_limit(1 << 20), pytest.raises(DiskFullError, match=f"no space is left to write {tmp_path}/down"):
        store.download("m.safetensors", tmp_path / "down")
    assert [path.name for path in tmp_path.iterdir()] == ["up"]


def test_folder_markers_are_passed_over(bucket: str, s3_server: S3Server) -> None:
    s3_server.client().put_object(Bucket=bucket, Key="data/", Body=b"")
    store = open_store(f"s3://{bucket}")
    store.write("data/a", b"1")
    assert list(store.list()) == ["data/a"]
