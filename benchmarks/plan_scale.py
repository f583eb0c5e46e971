"""What a pass of the planner costs, and how large a run's status gets: many deltas, through two rounds, and many trials.

The first is a run of 64 sources in 500 chunks with 3 methods, 1,500 deltas in all, carried through its whole life in a made-up world: every
pass is timed by the processor, and the status is measured with all that workers report in it. The second is a pass during a search of 12
deltas on 4 slots with so many trials done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from autollm.plan.landscape import is_pending
from autollm.plan.plan import Plan
from support.many_chunks import ManyChunks
from support.runs import make_run
from support.world import World

SOURCES, CHUNKS = 64, 500
METHODS = [{"name": "sft", "sft": {}}, {"name": "long", "sft": {"epochs": 2}}, {"name": "dpo", "dpo": {}, "after": "sft"}]
TARGET_SECONDS, TARGET_BYTES = 1.0, 100_000


class Timed:
    """A world whose passes are timed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seconds: list[float] = []
        self.largest = 0

    def plan(self) -> Plan:
        """Plan once."""
        begun = time.process_time()
        made = self.world.plan()
        self.seconds.append(time.process_time() - begun)
        status = self.world.run.status
        self.largest = max(self.largest, len(json.dumps(status.document())) if status else 0)
        return made

    def settle(self) -> None:
        """Carry out what is planned until there is nothing left, everything that runs ending between two passes."""
        while True:
            made = self.plan()
            for action in made.actions:
                self.world.act(action)
            running = self.world.running()
            for name in running:
                self.world.finish(name)
            if not made.actions and not running and made.requeue_after != timedelta(0):
                return


def many_deltas() -> dict[str, float]:
    """Return the slowest pass and the largest status of a run of 1,500 deltas in two rounds."""
    workers = ManyChunks(CHUNKS - 1, like="preference")
    sources = [{"name": f"source-{number:02}", "file": {"uri": f"s3://data/{number}-preference.jsonl"}} for number in range(SOURCES)]
    document = {
        "sources": sources,
        "training": {"methods": METHODS},
        "search": {"trials": 12, "parallelism": 4},
        "refresh": {"every": "24h"},
    }
    timed = Timed(World(make_run(**document), workers))  # type: ignore[arg-type]  # a document's words are of many types
    timed.settle()
    workers.chunks = CHUNKS
    timed.world.now += timedelta(days=1)
    timed.settle()
    assert len(timed.world.deltas) == CHUNKS * len(METHODS)
    assert timed.world.conditions()["Succeeded"][0] == "True"
    return {
        "slowestPassSeconds": round(max(timed.seconds), 3),
        "medianPassSeconds": round(median(timed.seconds), 3),
        "passes": len(timed.seconds),
        "largestStatusBytes": timed.largest,
    }


def milliseconds_with(trials: int, repeats: int) -> float:
    """Return the median of passes during a search of 12 deltas on 4 slots, so many trials being done."""
    sources = [{"name": f"source-{number:02}", "file": {"uri": f"s3://data/{number}.jsonl"}} for number in range(12)]
    timed = Timed(World(make_run(sources=sources, search={"trials": 100_000, "parallelism": 4})))
    world = timed.world
    while sum(not is_pending(trial) for trial in world.trials.values()) < trials:
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)
    for action in world.plan().actions:
        world.act(action)
    timed.seconds.clear()
    for _ in range(repeats):
        timed.plan()
    return round(1000 * median(timed.seconds), 2)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21, help="passes with so many trials, of which the median counts")
    repeats = parser.parse_args().repeats
    many = many_deltas()
    passes = {trials: milliseconds_with(trials, repeats) for trials in (50, 500)}
    line = {
        "benchmark": "plan_scale",
        "deltas": CHUNKS * len(METHODS),
        "targetSeconds": TARGET_SECONDS,
        "targetBytes": TARGET_BYTES,
        **many,
    }
    trials = {f"with{count}TrialsMilliseconds": taken for count, taken in passes.items()}
    print(json.dumps(line | trials | {"ratio": round(passes[500] / passes[50], 1), "threads": os.cpu_count()}))


if __name__ == "__main__":
    main()
