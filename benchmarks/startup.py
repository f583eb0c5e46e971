"""How long `autollm --help` and `autollm validate` take from the shell, beside a Python that does nothing and one that imports pydantic.

Each number is the median of interleaved processes, started as a user starts them; one of each before the clock warms the disk's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TARGET = 0.5


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="processes of each kind, of which the median counts")
    repeats = parser.parse_args().repeats
    autollm = str(Path(sys.executable).with_name("autollm"))
    with tempfile.TemporaryDirectory(prefix="autollm-bench-") as folder:
        document = Path(folder, "run.yaml")
        document.write_bytes(subprocess.run([autollm, "init"], check=True, stdout=subprocess.PIPE).stdout)
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "pydantic": [sys.executable, "-c", "import pydantic.main"],
            "help": [autollm, "--help"],
            "validate": [autollm, "validate", str(document)],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(repeats + 1):
            for name, command in commands.items():
                seconds = _seconds(command)
                if repeat:
                    taken[name].append(seconds)
    medians = {name: round(median(times), 3) for name, times in taken.items()}
    slowest = max(medians["help"], medians["validate"])
    line = {"benchmark": "startup", "seconds": slowest, "target": TARGET, "ratio": round(slowest / medians["python"], 1), **medians}
    print(json.dumps(line | {"threads": os.cpu_count()}))


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
