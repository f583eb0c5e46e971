"""Print a short, commented document to begin with.

It is valid as it stands, apart from the files it names.
"""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="init")
@click.argument("data", nargs=-1, type=click.Path(path_type=Path))
@click.option("--name", default="my-run", show_default=True, help="What the run is called: small letters, digits and dashes.")
@click.option(
    "--model",
    default="hf://HuggingFaceTB/SmolLM2-135M-Instruct",
    show_default=True,
    help="The base model: hf://org/name, file:///folder, s3://bucket/prefix or a relative path.",
)
def command(data: tuple[Path, ...], name: str, model: str) -> None:
    """Print a short, commented run document for your own DATA files: `autollm init math.jsonl code.csv > run.yaml`.

    Without files it names two that you then replace.
    """
    from autollm.resources.starter import starter_document

    click.echo(starter_document(name, model, [str(path) for path in data]), nl=False)
