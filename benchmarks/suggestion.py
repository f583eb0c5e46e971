"""How long a candidate takes that is chosen from 500 trials of 12 weights, in the operator's suggesting process.

Beside it, how late the event loop is meanwhile. The targets are 3 s and, in 99 of 100 beats, 0.1 s. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autollm.search import Finished, Request
from autollm.suggester import Suggester
from benchmarks.search import OPTIMIZERS, STANDARD_ERROR, domains, space_of

TRIALS, WEIGHTS, QUESTIONS = 500, 12, 7
SECONDS, LAG = 3.0, 0.1
BEAT = 0.01


def main() -> None:
    """Ask a few times and print the line."""
    space, score = space_of(WEIGHTS), domains(WEIGHTS, 0)
    points = np.random.default_rng(0).uniform(0, 1.5, (TRIALS, WEIGHTS))
    trials = tuple(Finished(number, space.expand(point), score(point), STANDARD_ERROR) for number, point in enumerate(points))
    request = Request(space, trials, optimizer=OPTIMIZERS["bayesian"], number=TRIALS)
    with Suggester() as suggester:
        suggester.ask(Request(space, trials[:20], number=20), 60.0)
        seconds, late = asyncio.run(asked(suggester, request))
    figures = {"seconds": round(median(seconds), 2), "slowest": round(max(seconds), 2), "target": SECONDS}
    lag = {"loopLagP99": round(quantiles(late, n=100)[98], 4), "lagTarget": LAG}
    print(
        json.dumps({"benchmark": "suggestion", "ratio": round(median(seconds) / SECONDS, 2)} | figures | lag | {"threads": os.cpu_count()})
    )


async def asked(suggester: Suggester, request: Request) -> tuple[list[float], list[float]]:
    """Return the seconds that each question took, and those by which each beat of the loop was late while it was answered."""
    seconds: list[float] = []
    late: list[float] = []
    for _ in range(QUESTIONS):
        begun = time.monotonic()
        answer = asyncio.create_task(asyncio.to_thread(suggester.ask, request, 60.0))
        while not answer.done():
            beaten = time.monotonic()
            await asyncio.sleep(BEAT)
            late.append(max(0.0, time.monotonic() - beaten - BEAT))
        if (await answer).origin.optimizer != "Bayesian":
            raise SystemExit(f"no candidate came from the optimiser: {(await answer).origin.reason}")
        seconds.append(time.monotonic() - begun)
    return seconds, late


if __name__ == "__main__":
    main()
