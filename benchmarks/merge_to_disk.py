"""mergekit beside `autollm merge`: the linear sum of 4 full models of 1 GB each, from disk to disk.

mergekit is its current package, in an environment of its own that this program makes with uv and keeps in the user's cache. Each
side runs in a process of its own, in turn; imports are left out of the time. Peak memory is that of the whole process. The
largest error is that of any element against the sum in fp64; both write bf16, so that half a step of bf16 is the best there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

WEIGHTS = (0.4, 0.2, 0.3, 0.1)
HIDDEN, INNER, VOCABULARY = 1024, 4096, 32000
BYTES_A_LAYER = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="the size of each model")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved pairs, of which the median counts")
    parser.add_argument("--side", choices=["autollm", "mergekit"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps({"autollm": run_ours, "mergekit": run_mergekit}[options.side](options.folder)))
        return
    interpreters = {"autollm": Path(sys.executable), "mergekit": mergekit_environment()}
    with tempfile.TemporaryDirectory(prefix="autollm-bench-") as name:
        folder = Path(name)
        size = write_models(folder, options.gigabytes)
        measured: dict[str, list[dict[str, Any]]] = {side: [] for side in interpreters}
        for _ in range(options.repeats):
            for side, interpreter in interpreters.items():
                measured[side].append(measure(side, interpreter, folder))
        errors = {side: largest_error(folder, side) for side in interpreters}
    seconds = {side: median(result["seconds"] for result in results) for side, results in measured.items()}
    peaks = {side: median(result["peakMiB"] for result in results) for side, results in measured.items()}
    pairs = zip(measured["mergekit"], measured["autollm"], strict=True)
    line = {
        "benchmark": "merge_to_disk",
        "ratio": round(median(peer["seconds"] / ours["seconds"] for peer, ours in pairs), 2),
        "target": 3,
        "peakRatio": round(peaks["mergekit"] / peaks["autollm"], 2),
        "gigabytesEach": round(size / 1e9, 2),
        **{side: {"seconds": round(seconds[side], 2), "peakMiB": peaks[side], "largestError": errors[side]} for side in interpreters},
        "mergekitVersion": measured["mergekit"][0]["version"],
        "threads": os.cpu_count(),
    }
    print(json.dumps(line))


def mergekit_environment() -> Path:
    """Return the interpreter of mergekit's environment, made on the first call."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autollm-bench" / "mergekit"
    python = cache / "bin" / "python"
    if not (cache / "ready").exists():
        beside = Path(sys.executable).parent / "uv"
        uv = str(beside) if beside.exists() else shutil.which("uv")
        if uv is None:
            raise SystemExit("merge_to_disk.py makes mergekit's environment with uv: pip install uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(cache)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), "mergekit"], check=True)
        (cache / "ready").touch()
    return python


def measure(side: str, interpreter: Path, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own, on files that lie in the page cache."""
    shutil.rmtree(folder / side, ignore_errors=True)
    command = [str(interpreter), __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_ours(folder: Path) -> dict[str, Any]:
    """Merge as `autollm merge` does: the first model is the base, W₀ + Σ w (W − W₀) with the weights of the others."""
    from autollm_runtime.commands.merging import merge_named

    started = time.perf_counter()
    named = {str(folder / f"model-{number}"): WEIGHTS[number] for number in range(1, len(WEIGHTS))}
    merge_named(str(folder / "model-0"), named, folder / "autollm", "BFloat16", 5_000_000_000)
    return {"seconds": time.perf_counter() - started, "peakMiB": peak_mib()}


def run_mergekit(folder: Path) -> dict[str, Any]:
    """Merge as `mergekit-yaml` does with its defaults."""
    from importlib.metadata import version

    from mergekit.config import MergeConfiguration  # type: ignore[import-not-found]  # lives in its own environment
    from mergekit.merge import run_merge  # type: ignore[import-not-found]  # lives in its own environment
    from mergekit.options import MergeOptions  # type: ignore[import-not-found]  # lives in its own environment

    models = [{"model": str(folder / f"model-{number}"), "parameters": {"weight": weight}} for number, weight in enumerate(WEIGHTS)]
    document = {"merge_method": "linear", "dtype": "bfloat16", "parameters": {"normalize": False}, "models": models}
    started = time.perf_counter()
    run_merge(MergeConfiguration.model_validate(document), str(folder / "mergekit"), MergeOptions(copy_tokenizer=False, quiet=True))
    return {"seconds": time.perf_counter() - started, "peakMiB": peak_mib(), "version": version("mergekit")}


def peak_mib() -> int:
    """Return the largest resident memory of this program so far; getrusage would count the parent's as well."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


def write_models(folder: Path, gigabytes: float) -> int:
    """Write models of random bf16 weights with a Llama's names and shapes; return the bytes of one."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=max(1, round((gigabytes * 1e9 - 2 * VOCABULARY * HIDDEN) / BYTES_A_LAYER)),
        num_attention_heads=16,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    with torch.device("meta"):
        shapes = {name: parameter.shape for name, parameter in LlamaForCausalLM(config).named_parameters()}
    for number in range(len(WEIGHTS)):
        generator = torch.Generator().manual_seed(number)
        path = folder / f"model-{number}"
        path.mkdir()
        tensors = {name: torch.randn(shape, generator=generator).mul_(0.02).bfloat16() for name, shape in shapes.items()}
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(path)
    return (folder / "model-0" / "model.safetensors").stat().st_size


def largest_error(folder: Path, side: str) -> float:
    """Return the largest absolute error of any element against the sum in fp64."""
    import torch

    from autollm_runtime.delta.checkpoint import open_checkpoint

    merged = open_checkpoint(folder / side)
    models = [open_checkpoint(folder / f"model-{number}") for number in range(len(WEIGHTS))]
    largest = 0.0
    for name in models[0].entries:
        exact = torch.zeros(models[0].entries[name].shape, dtype=torch.float64)
        for model, weight in zip(models, WEIGHTS, strict=True):
            exact.add_(model.entries[name].read().double(), alpha=weight)
        largest = max(largest, float(exact.sub_(merged.entries[name].read().double()).abs_().max()))
    return largest


if __name__ == "__main__":
    main()
