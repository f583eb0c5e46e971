"""The command line: a shell that knows its commands by name and imports one only when it is called.

A command is an entry point of the group `autollm.commands`: the name is what the user types, the value `package.module:command` a
`click.Command`. The module's docstring's first line is what `autollm --help` prints; it is read from the source, not by importing.
"""

from __future__ import annotations

import io
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

from autollm.cli.summary import module_summary
from autollm.errors import AutoLLMError, DocumentError, Interrupted, OutageError

GROUP = "autollm.commands"
USUAL_ORDER = ("init", "validate", "plan", "run", "status", "watch", "logs", "report", "compare", "retry", "rollback", "merge")
FAILED, WRONG_USAGE, UNAVAILABLE, INTERRUPTED, STOPPED = 1, 2, 69, 130, 143


class LazyGroup(click.Group):
    """A group whose commands are entry points; errors of the tree in `autollm.errors` become exit codes here, once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a user meets them; those of other packages follow."""
        names = {point.name for point in entry_points(group=GROUP)}
        return [name for name in USUAL_ORDER if name in names] + sorted(names.difference(USUAL_ORDER))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; a missing package is a usage error that names the extra to install."""
        for point in entry_points(group=GROUP, name=cmd_name):
            return _load(point)
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            names = self.list_commands(ctx)
            if args[0] in names:
                raise
            from difflib import get_close_matches

            near = get_close_matches(args[0], names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        points = {point.name: point for point in entry_points(group=GROUP)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, module_summary(points[name].module)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong is one message on stderr and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _end(ctx, "interrupted", INTERRUPTED)
        except Interrupted as error:
            _end(ctx, str(error), STOPPED)
        except DocumentError as error:
            _end(ctx, str(error), WRONG_USAGE)
        except OutageError as error:
            _end(ctx, str(error), UNAVAILABLE)
        except AutoLLMError as error:
            _end(ctx, str(error), FAILED)
        except BrokenPipeError:
            raise  # click ends quietly where nobody reads any more
        except OSError as error:
            _end(ctx, _cause(error), FAILED)


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "autollm"):
            raise
        extra = point.module.partition(".")[0].removeprefix("autollm_")
        raise click.UsageError(
            f"`autollm {point.name}` needs the package {package!r}, which is not installed: "
            f"in AutoLLM's repository, pip install '.[{extra}]'"
        ) from error
    if not isinstance(command, click.Command):
        raise TypeError(f"the entry point {point.name} of the group {GROUP} is not a click command: {point.value}")
    return command


def _cause(error: OSError) -> str:
    """Return what an error of the operating system is about, where it says so, and its cause."""
    import logging

    logging.getLogger(__name__).debug("an error of the operating system", exc_info=error)
    cause = error.strerror or str(error) or type(error).__name__
    return f"{error.filename} cannot be used: {cause}" if error.filename is not None else cause


def _end(ctx: click.Context, message: str, code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    ctx.exit(code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="autollm", message="autollm %(version)s")
@click.option("-v", "--verbose", count=True, help="Say what is being done; twice for every detail.")
def main(verbose: int) -> None:
    """Train one small delta per chunk of data, search the weights that merge them best, publish what is provably better."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: what its encoding lacks is written as a number, and not lost
    if verbose:
        import logging

        logging.basicConfig(
            level=logging.INFO if verbose == 1 else logging.DEBUG,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
