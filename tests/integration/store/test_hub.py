"""Models from the Hub: the real client against the Hub's protocol on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from autollm.errors import InputError
from autollm.store import AccessDeniedError, NotFoundError, StoreUnavailableError
from autollm.store.hub import commit, snapshot
from support.fake_hub import FakeHub, serving

FIRST, SECOND, PICKLED = "1" * 40, "2" * 40, "3" * 40
MODEL = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b'{"eos_token": "."}',
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"about",
    "pytorch_model.bin": b"a pickle",
    "training_args.bin": b"a pickle",
    "tokenizer.pkl": b"a pickle",
    "modeling_custom.py": b"raise RuntimeError",
    "consolidated.safetensors": b"the same weights again",
    "onnx/model.safetensors": b"and again",
}
LOADED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    commits: dict[str, dict[str, Mapping[str, bytes]]] = {
        "org/name": {FIRST: MODEL, SECOND: MODEL | {"model.safetensors": b"newer weights"}},
        "org/old": {PICKLED: {"config.json": b"{}", "pytorch_model.bin": b"a pickle"}},
    }
    with serving(FakeHub(commits, {"org/name": {"main": SECOND, "v1": FIRST}, "org/old": {"main": PICKLED}})) as running:
        yield running


def test_weights_configuration_and_tokenizer_come_and_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    folder = snapshot("org/name", endpoint=hub.endpoint, cache=tmp_path)
    assert {path.name for path in folder.rglob("*")} == LOADED
    assert set(hub.fetched) == LOADED
    assert (folder / "model.safetensors").read_bytes() == b"newer weights"


@pytest.mark.parametrize(("asked", "found"), [(None, SECOND), ("v1", FIRST), (FIRST, FIRST)])
def test_the_commit_is_told(hub: FakeHub, tmp_path: Path, asked: str | None, found: str) -> None:
    assert commit(snapshot("org/name", asked, endpoint=hub.endpoint, cache=tmp_path)) == found


def test_what_is_in_the_cache_is_not_fetched_again_and_serves_without_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    folder = snapshot("org/name", "v1", endpoint=hub.endpoint, cache=tmp_path)
    hub.fetched.clear()
    assert snapshot("org/name", "v1", endpoint=hub.endpoint, cache=tmp_path) == folder
    assert hub.fetched == []
    hub.broken = True
    assert snapshot("org/name", "v1", endpoint=hub.endpoint, cache=tmp_path) == folder
    with pytest.raises(StoreUnavailableError, match="hf://org/name is not wholly in the cache and the Hub does not answer"):
        snapshot("org/name", endpoint=hub.endpoint, cache=tmp_path)


def test_what_the_hub_does_not_have(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no hf://org/other at the Hub that this token may see"):
        snapshot("org/other", endpoint=hub.endpoint, cache=tmp_path)
    with pytest.raises(NotFoundError, match="hf://org/name@v9: the model has no revision 'v9'"):
        snapshot("org/name", "v9", endpoint=hub.endpoint, cache=tmp_path)
    with pytest.raises(InputError, match="names no model of the Hub"):
        snapshot("org/na me", endpoint=hub.endpoint, cache=tmp_path)


def test_a_gated_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.gated.add("org/name")
    with pytest.raises(AccessDeniedError, match=r"hf://org/name is gated: accept its terms.* in the Secret that model\.secretName names"):
        snapshot("org/name", endpoint=hub.endpoint, cache=tmp_path)


def test_a_token_opens_a_private_model_and_is_never_told(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "hf_right"
    assert snapshot("org/name", token="hf_right", endpoint=hub.endpoint, cache=tmp_path / "1").is_dir()
    with pytest.raises(NotFoundError, match="give a token in HF_TOKEN") as caught:
        snapshot("org/name", token="hf_wrong", endpoint=hub.endpoint, cache=tmp_path / "2")
    assert "hf_wrong" not in str(caught.value)


def test_pickled_weights_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hf://org/old has no weights in safetensors; pickled weights are never loaded") as caught:
        snapshot("org/old", endpoint=hub.endpoint, cache=tmp_path)
    assert caught.value.reason == "NoSafetensors"
    assert hub.fetched == ["config.json"]
