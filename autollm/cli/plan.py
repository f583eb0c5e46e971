"""Tell what a run will take before anything runs: Jobs, trainings, trials, GPU hours."""

from __future__ import annotations

import json
from pathlib import Path

import click

from autollm.resources.load import load_run


@click.command(name="plan")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--parameters", metavar="N", help="The size of the model, such as 8B.  [default: looked up]")
@click.option(
    "--tflops",
    type=click.FloatRange(min=0, min_open=True),
    default=200.0,
    show_default=True,
    help="What a GPU really does, in 10^12 operations a second.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: for programs.")
def command(document: Path, parameters: str | None, tflops: float, form: str) -> None:
    """Tell what the run of DOCUMENT will take: Jobs by kind, trainings by source and method, trials, and a first estimate of GPU hours.

    Sources are counted as far as they can be read from here with this machine's credentials. Nothing is started or written. `-` is
    stdin.
    """
    run = load_run(document)
    from autollm.cli.screen import screen
    from autollm.forecast.forecast import forecast
    from autollm.forecast.parameters import count_parameters, read_count
    from autollm.forecast.survey import survey
    from autollm.forecast.table import document as values
    from autollm.forecast.table import rendered

    spec = run.spec
    size = read_count(parameters) if parameters is not None else count_parameters(spec.model, spec.artifacts)
    made = forecast(run, {source.name: survey(source, spec.artifacts) for source in spec.sources}, size, tflops)
    if form == "json":
        click.echo(json.dumps(values(made), indent=1))
    else:
        screen().print(rendered(made, tflops=tflops, parameters=size), soft_wrap=True)
