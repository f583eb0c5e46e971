"""Run the quickstart's document for several seeds and tell whether the search pays off.

    python benchmarks/quickstart_seeds.py [--seeds 5] [--out runs/seeds] [--all] [--markdown docs/results/seeds.md]

Every seed has its own data, splits, training and search. For each row of the results table, the test items of all seeds
are pooled (a source of a seed is a stratum of its own) and `auto` is compared with it item by item. Prints one JSON
line: the difference to each row with its paired 95 % interval, and the smallest lower bound as the ratio to watch.
Seeds that are finished already are read, not run again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from autollm.contract.layout import trial_results
from autollm.statistics import paired_difference, strata_of

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"


@dataclass(frozen=True)
class SeedResult:
    """One seed's results: the test score of each row and, item by item, what it is made of."""

    scores: dict[str, float]
    items: dict[str, dict[tuple[str, str], float]]
    seconds: float


def make_data(out: Path, seed: int) -> None:
    """Write the four sources of a seed with the example's own generator."""
    spec = importlib.util.spec_from_file_location("make_data", QUICKSTART / "make_data.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(QUICKSTART / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(out, seed, 128)


def write_document(folder: Path, seed: int, train_on_all: bool) -> Path:
    """Write the quickstart's document with every seed replaced."""
    document: dict[str, Any] = yaml.safe_load((QUICKSTART / "run.yaml").read_text(encoding="utf-8"))
    spec = document["spec"]
    spec["artifacts"]["uri"] = "artifacts"
    spec["data"]["split"]["seed"] = seed
    spec["search"]["seed"] = seed
    for method in spec["training"]["methods"]:
        next(value for key, value in method.items() if key in {"sft", "dpo"})["seed"] = seed
    spec["baselines"] = {"trainOnAll": train_on_all}
    path = folder / "run.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")  # JSON is YAML, and keeps decimals in quotes
    return path


def run_seed(folder: Path, seed: int, train_on_all: bool) -> SeedResult:
    """Run one seed, or read what an earlier call left."""
    run = folder / "run"
    clock = folder / "seconds.json"
    if not clock.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_data(folder / "data", seed)
        document = write_document(folder, seed, train_on_all)
        start = time.monotonic()
        command = [sys.executable, "-m", "autollm", "run", str(document), "--folder", str(run), "--jobs", "2"]
        with (folder / "log.txt").open("w", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        clock.write_text(json.dumps(time.monotonic() - start), encoding="utf-8")
    table = json.loads((run / "results.json").read_text(encoding="utf-8"))
    scores: dict[str, float] = {}
    items: dict[str, dict[tuple[str, str], float]] = {}
    for row in table["results"]:
        if not row.get("test"):
            continue
        path = folder / "artifacts" / trial_results(table["run"], row["testTrial"])
        results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        scores[row["name"]] = row["test"]["score"]
        items[row["name"]] = {(f"{seed}/{item['source']}", item["id"]): item["score"] for item in results}
    return SeedResult(scores, items, json.loads(clock.read_text(encoding="utf-8")))


def pooled(results: list[SeedResult], name: str) -> dict[str, float]:
    """Compare `auto` with a row over the items of all seeds."""
    keys = [key for result in results for key in result.items["auto"]]
    ours = np.array([result.items["auto"][key] for result in results for key in result.items["auto"]])
    theirs = np.array([result.items[name][key] for result in results for key in result.items["auto"]])
    difference = paired_difference(ours, theirs, strata_of([source for source, _ in keys]))
    return {"difference": round(difference.difference, 4), "low": round(difference.low, 4), "high": round(difference.high, 4)}


def markdown(results: list[SeedResult], differences: dict[str, dict[str, float]]) -> str:
    """Return the table of all seeds."""
    names = [name for name in results[0].scores if name == "auto" or name in differences]
    lines = ["| row | " + " | ".join(f"seed {seed}" for seed in range(len(results))) + " | mean | `auto` minus it (95 %) |"]
    lines.append("|---|" + "---:|" * (len(results) + 2))
    for name in sorted(names, key=lambda name: np.mean([result.scores[name] for result in results])):
        scores = [result.scores[name] for result in results]
        interval = differences.get(name)
        versus = f"{interval['difference']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]" if interval else ""
        lines.append(f"| `{name}` | " + " | ".join(f"{score:.3f}" for score in [*scores, float(np.mean(scores))]) + f" | {versus} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the seeds, print one JSON line, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--all", action="store_true", help="train on all data together too, as one more delta")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    results = [run_seed(arguments.out.resolve() / str(seed), seed, arguments.all) for seed in range(arguments.seeds)]
    common = [name for name in results[0].scores if name != "auto" and all(name in result.scores for result in results)]
    differences = {name: pooled(results, name) for name in common}
    if arguments.markdown:
        arguments.markdown.parent.mkdir(parents=True, exist_ok=True)
        arguments.markdown.write_text(markdown(results, differences), encoding="utf-8")
    worst = min(differences.values(), key=lambda interval: interval["low"])
    print(
        json.dumps(
            {
                "figure": "quickstart over seeds",
                "seeds": arguments.seeds,
                "limit": "every low > 0",
                "smallestLow": worst["low"],
                "auto": round(float(np.mean([result.scores["auto"] for result in results])), 4),
                "versus": differences,
                "seconds": [round(result.seconds) for result in results],
            }
        )
    )


if __name__ == "__main__":
    main()
