"""Print a short, commented document to begin with.

It is valid as it stands, apart from the files it names.
"""

from __future__ import annotations

from pathlib import Path

import click

from autollm.errors import DocumentError


@click.command(name="init")
@click.argument("data", nargs=-1)
@click.option("--name", default="my-run", show_default=True, help="What the run is called: small letters, digits and dashes.")
@click.option(
    "--model",
    default="hf://HuggingFaceTB/SmolLM2-135M-Instruct",
    show_default=True,
    help="The base model: hf://org/name, file:///folder, s3://bucket/prefix or a relative path.",
)
def command(data: tuple[str, ...], name: str, model: str) -> None:
    """Print a short, commented run document for your own DATA, files or URIs: `autollm init math.jsonl s3://data/code.csv > run.yaml`.

    Without data it names two files that you then replace.
    """
    from autollm.resources.load import parse_documents
    from autollm.resources.starter import starter_document
    from autollm.resources.validate import check

    text = starter_document(name, model, data)
    problems = [problem for document in parse_documents(text, Path("run.yaml")) for problem in check(document).problems]
    if problems:
        raise DocumentError("\n".join(["this would not be a valid document", *(f"{one.field}: {one.message}" for one in problems)]))
    click.echo(text, nl=False)
