"""Models and ready-made deltas in S3 are read from the endpoint of the artifacts, at a real server that no environment variable names."""

from __future__ import annotations

from pathlib import Path

import pytest

from autollm.errors import IntegrityError
from autollm.resources.facts import ModelFact
from autollm.resources.run import BaseModelSpec
from autollm.resources.training import ReadyDelta
from autollm.store import Store, open_store
from autollm_runtime.delta import import_delta, read_delta
from autollm_runtime.model.base import resolve_base
from autollm_runtime.model.fetch import fetch_model
from autollm_runtime.model.folder import inspect_folder
from support.adapters import write_adapter
from support.tiny_model import make_tiny_model
from support.versitygw import S3Server

MODULES = {"model.layers.0.self_attn.q_proj": (32, 32)}


@pytest.fixture
def inputs(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket apart from the artifacts; only the keys are in the environment, as in a worker."""
    for name in s3_server.environment:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    name = request.node.name.replace("_", "-")[:50].strip("-")
    s3_server.make_bucket(f"{name}-artifacts")
    return s3_server.make_bucket(name)


@pytest.fixture
def store(inputs: str, s3_server: S3Server) -> Store:
    return open_store(f"{inputs}-artifacts/run", endpoint=s3_server.endpoint)


def put(folder: Path, uri: str, server: S3Server) -> str:
    """Upload a folder."""
    target = open_store(uri, endpoint=server.endpoint)
    for path in folder.iterdir():
        target.upload(path, path.name)
    return uri


def test_a_base_model_is_found_and_fetched(inputs: str, store: Store, s3_server: S3Server, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    uri = put(base, f"{inputs}/models/tiny", s3_server)
    fact = resolve_base(BaseModelSpec(uri=uri, dtype="Float32"), store, tmp_path / "prepare")
    assert (fact.uri, fact.digest) == (uri, inspect_folder(base, "base").digest())
    copy = fetch_model(fact, store, tmp_path / "train")
    assert copy.is_relative_to(tmp_path / "train")
    assert (copy / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    open_store(uri, endpoint=s3_server.endpoint).write("tokenizer.json", b"{}")
    with pytest.raises(IntegrityError, match="changed or damaged"):
        fetch_model(fact, store, tmp_path / "evaluate")


def test_ready_made_deltas_are_taken_in(inputs: str, store: Store, s3_server: S3Server, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    fact = ModelFact(uri=base.as_uri(), digest=inspect_folder(base, "base").digest(), dtype="Float32", parameters=1)
    adapter = put(write_adapter(tmp_path / "adapter", MODULES), f"{inputs}/adapter", s3_server)
    tuned = put(make_tiny_model(tmp_path / "tuned", seed=1), f"{inputs}/tuned", s3_server)
    for document in ({"lora": {"uri": adapter}}, {"full": {"tuned": tuned}}):
        ready = ReadyDelta.parse({"name": "style", **document})
        taken = import_delta(ready, fact, base, store, tmp_path / "scratch")
        delta = read_delta(store, "style", taken.key, base=fact.digest, scratch=tmp_path / "scratch")
        assert set(delta.shapes) >= {"model.layers.0.self_attn.q_proj.weight"}
