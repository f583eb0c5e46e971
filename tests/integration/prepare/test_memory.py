"""Memory grows by a bounded number of bytes a record, not with the records themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, re, sys
from pathlib import Path
from autollm.resources.run import RunSpec
from autollm.store import open_store
from autollm_runtime.prepare import leaks
from autollm_runtime.prepare.data import prepare_data
from autollm_runtime.prepare.length import Gauge
from autollm_runtime.prepare.locate import locate

leaks.MOST_SHARED = 2**17  # in proportion: a million records fill a larger portion many times

class Lengths:
    def chat(self, prompt, answer): return 8
    def text(self, text): return 8

folder, near, sizes = Path(sys.argv[1]), sys.argv[2], [int(size) for size in sys.argv[3:]]
peaks = []
for size in sizes:
    path = folder / f"{size}.jsonl"
    with path.open("w") as file:
        for number in range(size):
            words = " ".join(f"{number * step % 7919:x}w" for step in range(1, 31))
            file.write(json.dumps({"prompt": f"{number} {words}", "completion": words[::-1]}) + "\\n")
    spec = RunSpec.parse({
        "model": {"uri": "none"}, "artifacts": {"uri": str(folder / "artifacts")},
        "sources": [{"name": "many", "file": {"uri": str(path)}}],
        "data": {"deduplicate": {"near": near} if near else {}, "chunk": {"maxRecords": 10000}},
        "training": {"methods": [{"name": "sft", "sft": {}}]},
    })
    files = [list(locate(source, spec.artifacts, folder)) for source in spec.sources]
    manifest = prepare_data(spec, files, Gauge(Lengths(), 2048), None, open_store(spec.artifacts.uri), folder, lambda: None,
                            run="run", key="sha256:" + "0" * 64)
    assert manifest.sources[0].read == size
    # Unlike getrusage, which still tells what the process that started this one had taken by then.
    peaks.append(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
print(json.dumps(peaks))
"""


@pytest.mark.parametrize(("near", "most"), [("", 1000), ("0.85", 2000)])
def test_bytes_a_record(tmp_path: Path, near: str, most: int) -> None:
    """A million records may take 2 GiB, 4 GiB with near duplicates, of which PyTorch's code takes the first 0.9."""
    small, large = 10_000, 50_000
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), near, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peaks = json.loads(done.stdout)
    assert (peaks[1] - peaks[0]) / (large - small) < most
