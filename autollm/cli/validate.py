"""Check run documents as a cluster would, and say what to change.

Exit code 0 where all documents are right, 2 where one is not.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from autollm.errors import DocumentError
from autollm.resources.validate import Verdict, check_file


@click.command(name="validate")
@click.argument("documents", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the problems.")
@click.pass_context
def command(ctx: click.Context, documents: tuple[Path, ...], form: str) -> None:
    """Check run DOCUMENTS: unknown fields, values, bounds and rules, exactly as a cluster would; `-` is stdin.

    Each problem is one line with its place, the value and what to write instead; all are shown at once. What a file holds beside them of
    other API groups, such as a Secret, is passed over.
    """
    found: list[dict[str, object]] = []
    lines: list[str] = []
    for file in documents:
        try:
            verdicts = check_file(file)
        except DocumentError as error:
            found.append({"file": str(file), "line": None, "field": "", "message": str(error)})
            lines.append(str(error))
            continue
        for verdict in verdicts:
            for problem in verdict.problems:
                found.append({"file": str(file), "line": problem.line, "field": problem.field, "message": problem.message})
                lines.append(problem.text(str(file)))
        if not any(verdict.problems for verdict in verdicts) and form == "text":
            click.echo(f"{file}: {_praise(verdicts)}")
    if form == "json":
        click.echo(json.dumps({"valid": not found, "problems": found}, indent=1, ensure_ascii=False))
    for line in lines if form == "text" else ():
        click.echo(line, err=True)
    if found:
        ctx.exit(2)


def _praise(verdicts: list[Verdict]) -> str:
    names = ", ".join(f"{verdict.kind} {verdict.data['metadata']['name']}" for verdict in verdicts)
    return f"{names} {'is' if len(verdicts) == 1 else 'are'} valid"
