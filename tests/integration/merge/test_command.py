"""`autollm merge` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from autollm.cli import main
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DeltaManifest
from autollm.store import open_store
from autollm_runtime.delta import publish_delta
from autollm_runtime.model.folder import inspect_folder
from support.adapters import write_adapter
from support.tiny_model import make_tiny_model

Q = "model.layers.0.self_attn.q_proj"
MODULES = {Q: (32, 32)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "base")


def merge(base: Path | str, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["merge", "--model", str(base), "--out", str(out), *arguments])


def weight(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")[f"{Q}.weight"]


def change(adapter: Path) -> torch.Tensor:
    tensors = load_file(adapter / "adapter_model.safetensors")
    return 2.0 * tensors[f"base_model.model.{Q}.lora_B.weight"] @ tensors[f"base_model.model.{Q}.lora_A.weight"]


def test_adapters_models_and_deltas_of_a_run_add_up(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", MODULES)
    tuned = make_tiny_model(tmp_path / "tuned", seed=1)
    key = digest_bytes(b"key")
    manifest = DeltaManifest(key=key, form="Lora", base=inspect_folder(base, "base").digest(), dtype="Float32", prefix="", files=[])
    publish_delta(open_store(str(tmp_path / "artifacts")), key, write_adapter(tmp_path / "trained", MODULES, seed=1), manifest)
    published = next((tmp_path / "artifacts" / "deltas").iterdir())
    named = [f"--delta={adapter}=0.5", f"--delta={tuned}=0.25", f"--delta={published}=-1"]
    result = merge(base, tmp_path / "out", *named)
    assert result.exit_code == 0, result.output
    expected = weight(base) + 0.5 * change(adapter) + 0.25 * (weight(tuned) - weight(base)) - change(tmp_path / "trained")
    torch.testing.assert_close(weight(tmp_path / "out"), expected, rtol=1e-5, atol=1e-6)


def test_the_number_format_is_the_bases_unless_another_is_asked_for(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", MODULES)
    assert merge(base, tmp_path / "same", f"--delta={adapter}=1").exit_code == 0
    assert weight(tmp_path / "same").dtype == torch.float32
    assert merge(base, tmp_path / "half", f"--delta={adapter}=1", "--dtype", "BFloat16", "--max-shard-size", "0.01MB").exit_code == 0
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    assert len(list((tmp_path / "half").glob("model-*.safetensors"))) > 1


def test_relative_paths_and_file_uris_are_places_as_elsewhere(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adapter(tmp_path / "adapter", MODULES)
    monkeypatch.chdir(tmp_path)
    assert merge(base, Path("out"), "--delta", "adapter=1").exit_code == 0
    assert merge(base.as_uri(), tmp_path / "uri", f"--delta={(tmp_path / 'adapter').as_uri()}=1").exit_code == 0
    torch.testing.assert_close(weight(tmp_path / "out"), weight(tmp_path / "uri"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--delta", "adapter"], "'adapter' is not DELTA=WEIGHT"),
        (["--delta", "adapter=nan"], "with a finite number"),
        (["--delta", "adapter=0.5", "--delta", "adapter=1"], "given twice"),
        (["--delta", "adapter=0.5", "--dtype", "Int4"], "'Int4'"),
        (["--delta", "adapter=0.5", "--max-shard-size", "5"], "'5' is not a size"),
        (["--delta", "adapter=0.5", "--max-shard-size", "infGB"], "'infGB' is not a size"),
        ([], "Missing option '--delta'"),
    ],
)
def test_wrong_usage_ends_with_two(base: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    result = merge(base, tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def _missing(folder: Path) -> Path:
    return folder / "nowhere"


def _other_shape(folder: Path) -> Path:
    return write_adapter(folder / "adapter", {Q: (32, 16)})


def _other_model(folder: Path) -> Path:
    return make_tiny_model(folder / "tuned", layers=3)


def _not_finite(folder: Path) -> Path:
    adapter = write_adapter(folder / "adapter", MODULES)
    tensors = load_file(adapter / "adapter_model.safetensors")
    next(iter(tensors.values())).fill_(float("inf"))
    save_file(tensors, adapter / "adapter_model.safetensors")
    return adapter


def _other_base(folder: Path) -> Path:
    key = digest_bytes(b"key")
    manifest = DeltaManifest(key=key, form="Lora", base=digest_bytes(b"other"), dtype="Float32", prefix="", files=[])
    publish_delta(open_store(str(folder / "artifacts")), key, write_adapter(folder / "trained", MODULES), manifest)
    return next((folder / "artifacts" / "deltas").iterdir())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_missing, "there is no adapter"),
        (_other_shape, "[32, 16], but the base has [32, 32]"),
        (_other_model, "the base lacks model.layers.2"),
        (_not_finite, f"lora_A of {Q}.weight holds NaN or infinity"),
        (_other_base, "was made from the base"),
    ],
)
def test_what_cannot_be_merged_ends_with_one_and_a_sentence(base: Path, tmp_path: Path, make, said: str) -> None:  # type: ignore[no-untyped-def]  # one of the functions above
    result = merge(base, tmp_path / "out", f"--delta={make(tmp_path)}=0.5")
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_not_there_is_called_as_the_user_called_it(tmp_path: Path) -> None:
    result = merge("nope", tmp_path / "out", f"--delta={write_adapter(tmp_path / 'adapter', MODULES)}=1")
    assert (result.exit_code, result.stderr) == (1, "Error: --model: there is no model at nope; check the path\n")


def test_help_needs_no_pytorch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from autollm.cli import main\n"
        "assert CliRunner().invoke(main, ['merge', '--help']).exit_code == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
