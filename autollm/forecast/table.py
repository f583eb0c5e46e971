"""A forecast for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autollm.forecast.compute import BYTES_PER_TOKEN, GENERATED
from autollm.forecast.forecast import Forecast
from autollm.forecast.survey import Survey


def document(made: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON values."""
    return {
        "run": made.run.metadata.name,
        "sources": {name: {"records": survey.records, "exact": survey.exact} for name, survey in made.surveys.items()},
        "jobs": dict(made.jobs),
        "trainings": [{"source": source, "method": method, "deltas": count} for (source, method), count in made.trainings.items()],
        "trials": {"search": made.trials.search, "finalists": made.trials.finalists, "test": made.trials.test},
        "weights": made.weights,
        "gpuHours": None if made.hours is None else {"train": made.hours.train, "evaluate": made.hours.evaluate},
    }


def rendered(made: Forecast, *, tflops: float, parameters: int | None) -> RenderableType:
    """Return a forecast as a terminal shows it."""
    name = Text(made.run.metadata.name, style="bold")
    lines = [Text(line) for line in (*_work(made), *_hours(made, tflops, parameters))]
    return Group(name, Text(), _sources(made), Text(), *lines)


def _sources(made: Forecast) -> Table:
    methods = [method.name for method in made.run.spec.training.methods]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("source", no_wrap=True)
    for column in ("records", "chunks", *methods):
        table.add_column(Text(column), justify="right")
    chunks: dict[str, int] = {}
    for chunk in made.facts.chunks:
        chunks[chunk.source] = chunks.get(chunk.source, 0) + 1
    pooled = {name for name in chunks if name not in made.surveys} | {source for source, _ in made.trainings if source not in made.surveys}
    for name in [*made.surveys, *sorted(pooled)]:
        survey = made.surveys.get(name)
        counts = [str(made.trainings.get((name, method), "")) for method in methods]
        cut = f"{'at least ' if survey and survey.records is None else ''}{chunks[name]}" if name in chunks else ""
        table.add_row(Text(name), _records(survey) if survey else "", cut, *counts)
    return table


def _records(survey: Survey) -> str:
    if survey.records is None:
        return "?"
    return f"{survey.records:,}" if survey.exact else f"about {survey.records:,}"


def _work(made: Forecast) -> Iterator[str]:
    spec, trials, jobs = made.run.spec, made.trials, made.jobs
    for name, survey in made.surveys.items():
        if survey.unknown:
            yield f"{name} {survey.unknown}."
    yield (
        f"Jobs: 1 prepare; {jobs['train']} train, fewer where equal deltas are in the artifacts; "
        f"1 evaluate with {spec.search.parallelism} {'pods' if spec.search.parallelism > 1 else 'pod'}; 1 publish, if the gate passes."
    )
    ranked = f", {trials.finalists} finalists on the whole search split" if trials.finalists else ""
    yield f"Trials: {trials.search} in the search over {made.weights} weights{ranked}, then at most {trials.test} on the test split."


def _hours(made: Forecast, tflops: float, parameters: int | None) -> Iterator[str]:
    if made.hours is None:
        if parameters is None:
            yield "GPU hours: not known, because the size of the model cannot be told from here; give it, such as --parameters 8B."
        else:
            yield "GPU hours: not known, because not all sources can be counted from here."
        return
    total = made.hours.train + made.hours.evaluate
    yield f"GPU hours: about {total:.2g}, of which {made.hours.train:.2g} to train and {made.hours.evaluate:.2g} to score."
    yield (
        f"Assumed: {parameters or 0:,} parameters, {BYTES_PER_TOKEN:g} bytes a token, {tflops:g} TFLOP/s a GPU (--tflops), "
        f"no record dropped, a generated token at the price of {GENERATED:g} read ones and every answer as long as it may be. "
        "Loading and waiting are not counted."
    )
