"""Sources in S3 are counted from their beginning, with this machine's credentials."""

from __future__ import annotations

import json
import uuid

import pytest

from autollm.forecast import survey as module
from autollm.forecast.survey import Survey, survey
from autollm.resources.run import Artifacts
from autollm.resources.sources import Source
from autollm.store import open_store
from support.versitygw import S3Server

ROW = json.dumps({"prompt": "a question", "completion": "an answer"}) + "\n"


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"forecast-{uuid.uuid4().hex[:8]}"
    s3_server.make_bucket(name)
    return f"s3://{name}"


def look(uri: str, server: S3Server) -> Survey:
    return survey(Source.parse({"name": "data", "file": {"uri": uri}}), Artifacts(uri="s3://forecast/artifacts", endpoint=server.endpoint))


def test_small_files_are_counted_and_large_ones_estimated(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(bucket, endpoint=s3_server.endpoint)
    store.write("data/a.jsonl", (ROW * 100).encode())
    found = look(f"{bucket}/data/a.jsonl", s3_server)
    assert (found.records, found.exact, found.shape) == (100, True, "messages")
    store.write("data/b.jsonl", (ROW * 200_000).encode())
    monkeypatch.setattr(module, "SAMPLE", 100_000)
    found = look(f"{bucket}/data", s3_server)
    assert found.records == pytest.approx(200_100, rel=0.001)
    assert not found.exact


def test_a_bucket_that_is_not_there_is_not_known(bucket: str, s3_server: S3Server) -> None:
    found = look("s3://nowhere/data", s3_server)
    assert found.records is None
    assert found.unknown.startswith("cannot be read from here: ")
