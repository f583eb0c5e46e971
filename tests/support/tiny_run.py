"""A whole run in small: two sources that a tiny model can learn, its document, and the command line that runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.runs import merged
from support.tiny_model import make_tiny_model

DOCUMENT: dict[str, Any] = {
    "apiVersion": "autollm.dev/v1alpha1",
    "kind": "AutoLLMRun",
    "metadata": {"name": "tiny"},
    "spec": {
        "model": {"uri": "model", "dtype": "Float32"},
        "artifacts": {"uri": "artifacts"},
        "sources": [{"name": "count", "file": {"uri": "count.jsonl"}}, {"name": "echo", "file": {"uri": "echo.jsonl"}}],
        "data": {"split": {"search": "0.2", "test": "0.3"}, "maxTokens": 128},
        "training": {
            "adapter": {"lora": {"rank": 8, "alpha": 16}},
            "methods": [{"name": "sft", "sft": {"learningRate": "2e-2", "batchSize": 8, "epochs": 2}}],
        },
        "search": {"trials": 7, "finalists": 2},
    },
}


def count_rows(start: int, rows: int) -> list[dict[str, str]]:
    """Chats that count on: two numbers asked, the next two answered."""
    return [{"prompt": f"{number} {number + 1}", "completion": f"{number + 2} {number + 3}"} for number in range(start, start + rows)]


def echo_rows(start: int, rows: int) -> list[dict[str, str]]:
    """Chats that answer in brackets what was asked."""
    words = [f"w{number:03d}" for number in range(start, start + rows)]
    return [{"prompt": word, "completion": f"[{word}]"} for word in words]


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as JSONL, after those that are there."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write_tiny_run(folder: Path, **changes: Any) -> Path:
    """Write model, sources and document into a folder, with changes to the spec; returns the document."""
    folder.mkdir(parents=True, exist_ok=True)
    make_tiny_model(folder / "model")
    write_rows(folder / "count.jsonl", count_rows(0, 60))
    write_rows(folder / "echo.jsonl", echo_rows(0, 60))
    return write_document(folder, **changes)


def write_document(folder: Path, **changes: Any) -> Path:
    """Write the document alone, with changes to its spec."""
    document = folder / "run.json"
    document.write_text(json.dumps(DOCUMENT | {"spec": merged(DOCUMENT["spec"], changes)}))
    return document


def command(*words: str | Path) -> list[str]:
    """Return the command line `autollm …` of this environment."""
    return [str(Path(sys.executable).with_name("autollm")), *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """Return variables under which a command prints plainly and uses one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", "HF_HUB_OFFLINE": "1", **more}


def autollm(*words: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `autollm …` to its end."""
    return subprocess.run(command(*words), cwd=cwd, env=environment(**more), capture_output=True, text=True, check=False)
