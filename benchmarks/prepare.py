"""Preparation of a million records beside the same steps by `datasets.map`: records a second and peak memory.

Each side runs in a process of its own, on the same file, with one thread; imports are left out of the time and part of the memory.
Both read JSON lines, bring them to canonical records, drop exact duplicates by a normalised digest, split by a hash of the prompt, drop
later records that share a prompt or 13 words in a row with another split (runs in more than ten records excepted), and write chunks of
20,000 records with their digests. Ours also checks every record against `maxTokens` and writes the manifest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 20_000
GRAM = 13
COMMON = 10
TESTS = Path(__file__).resolve().parent.parent / "tests"


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--side", choices=["ours", "near", "datasets"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "records.jsonl", options.records)
        measured = {side: measure(side, folder) for side in SIDES}
    ours, near, peer = measured["ours"], measured["near"], measured["datasets"]
    rate = {side: round(options.records / result["seconds"]) for side, result in measured.items()}
    line = {
        "benchmark": "prepare",
        "records": options.records,
        "recordsPerSecond": rate["ours"],
        "peakMiB": ours["peakMiB"],
        "kept": ours["kept"],
        "near": {"recordsPerSecond": rate["near"], "peakMiB": near["peakMiB"], "kept": near["kept"]},
        "datasets": {"recordsPerSecond": rate["datasets"], "peakMiB": peer["peakMiB"], "kept": peer["kept"]},
        "ratio": round(peer["seconds"] / ours["seconds"], 2),
    }
    print(json.dumps(line))


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_records(path: Path, count: int) -> None:
    """Write short instructions of a fixed seed: one in fifty a copy, one in fifty a copy with a word changed."""
    state = 1
    vocabulary = [
        f"{first}{second}{third}" for first in "bdfgklmnprst" for second in "aeiou" for third in ("n", "rt", "l", "st", "mo", "ka")
    ]
    with path.open("w") as file:
        last: list[str] = []
        for number in range(count):
            drawn = []
            for _ in range(30):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                drawn.append(vocabulary[(state >> 33) % len(vocabulary)])
            if last and number % 50 == 10:
                drawn = last
            elif last and number % 50 == 20:
                drawn = [*last[:29], drawn[0]]
            last = drawn
            row = {"instruction": " ".join(drawn[:12]).capitalize() + "?", "input": "", "output": " ".join(drawn[12:]) + "."}
            file.write(json.dumps(row) + "\n")


def run_ours(folder: Path, near: str | None = None) -> dict[str, Any]:
    """Run the prepare task as a worker does, with a tiny model's tokenizer."""
    sys.path.insert(0, str(TESTS))
    import logging

    from autollm.contract.folder import ObjectFolder
    from autollm.contract.tasks import PrepareTask
    from autollm_runtime.prepare.task import run_prepare
    from autollm_runtime.worker.context import Context
    from autollm_runtime.worker.feed import FolderFeed
    from autollm_runtime.worker.reports import FolderReports
    from support.tiny_model import make_tiny_model

    logging.disable()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        make_tiny_model(here / "model")
        spec = {
            "model": {"uri": str(here / "model"), "dtype": "Float32"},
            "artifacts": {"uri": str(here / "artifacts")},
            "sources": [{"name": "records", "file": {"uri": str(folder / "records.jsonl")}}],
            "data": {"chunk": {"maxRecords": CHUNK}, "deduplicate": {"near": near} if near else {}},
            "training": {"methods": [{"name": "sft", "sft": {}}]},
        }
        task = PrepareTask.parse({"id": "bench", "run": "bench", "key": "sha256:" + "0" * 64, "spec": spec})
        objects = ObjectFolder(here / "objects")
        (here / "scratch").mkdir()
        context = Context(FolderReports(objects), FolderFeed(objects), here / "scratch", threading.Event(), 1)
        start = time.perf_counter()
        run_prepare(task, context)
        seconds = time.perf_counter() - start
        prepared = json.loads(next((here / "objects").rglob("prepared.json")).read_bytes())["prepared"]
    return {"seconds": seconds, "peakMiB": peak(), "kept": prepared["records"] + prepared["search"]["count"] + prepared["test"]["count"]}


def run_datasets(folder: Path) -> dict[str, Any]:
    """Do the same steps with `datasets`, as one would write them."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        start = time.perf_counter()
        data = datasets.load_dataset("json", data_files=str(folder / "records.jsonl"), split="train", cache_dir=str(here / "cache"))
        data = data.map(canonical, remove_columns=data.column_names)
        seen: set[str] = set()
        data = data.filter(lambda content: not (content in seen or seen.add(content)), input_columns="content")  # type: ignore[func-returns-value]  # the idiom
        counts: Counter[int] = Counter()
        data.map(lambda words: counts.update(grams(words)), input_columns="words")
        rare = {gram for gram, count in counts.items() if 1 < count <= COMMON}
        counts.clear()
        split_of: dict[object, int] = {}
        data = data.filter(
            lambda prompt, words, split: not leaks(split_of, rare, prompt, words, split), input_columns=["prompt", "words", "split"]
        )
        kept = len(data)
        for split in range(3):
            part = data.filter(lambda value, split=split: value == split, input_columns="split").select_columns(
                ["id", "origin", "messages"]
            )
            for first in range(0, len(part), CHUNK):
                path = here / f"{split}-{first}.jsonl"
                part.select(range(first, min(first + CHUNK, len(part)))).to_json(path, force_ascii=False)
                hashlib.sha256(path.read_bytes()).hexdigest()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peakMiB": peak(), "kept": kept}


def canonical(row: dict[str, Any]) -> dict[str, Any]:
    """Bring one row to its record, its digests and its split."""
    asked = "\n\n".join(filter(None, [row["instruction"], row["input"]]))
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    prompt = " ".join(asked.lower().split())
    content = f"{prompt}\0{' '.join(row['output'].lower().split())}"
    origin = hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()
    position = int(origin, 16) / 2**64
    return {
        "id": hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:32],
        "origin": origin,
        "messages": messages,
        "prompt": prompt,
        "content": hashlib.blake2b(content.encode(), digest_size=8).hexdigest(),
        "words": "".join(mark if mark not in ".,;:!?\"'`()[]" else " " for mark in content.replace("\0", " ")),
        "split": 2 if position < 0.1 else 1 if position >= 0.9 else 0,
    }


def grams(words: str) -> Iterator[int]:
    """Yield a hash of every 13 words in a row."""
    parts = words.split()
    return (hash(tuple(parts[start : start + GRAM])) for start in range(len(parts) - GRAM + 1))


def leaks(split_of: dict[object, int], rare: set[int], prompt: str, words: str, split: int) -> bool:
    """Whether an earlier record of another split shares the prompt or a rare gram; if not, remember this one's."""
    keys: list[object] = [prompt, *(gram for gram in grams(words) if gram in rare)]
    if any(split_of.get(key, split) != split for key in keys):
        return True
    split_of.update(dict.fromkeys(keys, split))
    return False


def peak() -> int:
    """Return this process's largest resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


SIDES = {"ours": run_ours, "near": lambda folder: run_ours(folder, "0.85"), "datasets": run_datasets}

if __name__ == "__main__":
    main()
