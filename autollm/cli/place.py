"""The run that a command is about, wherever it is: a folder of this machine, or `alr/NAME` in a cluster."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

if TYPE_CHECKING:
    from autollm.report.state import RunState

GROUP = "autollm.clusters"
"""Entry points that open a cluster: called with namespace and context, each None for what kubectl would take, they return a Cluster."""

Kind = Literal["AutoLLMRun", "DeltaTraining", "MergeTrial"]
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("alr", "autollmrun", "autollmruns"), "AutoLLMRun"),
    **dict.fromkeys(("dt", "deltatraining", "deltatrainings"), "DeltaTraining"),
    **dict.fromkeys(("mt", "mergetrial", "mergetrials"), "MergeTrial"),
}
_INSTALL = "in AutoLLM's repository, pip install '.[operator]'"
_OBJECT = re.compile(r"([a-z]+)(?:\.autollm\.dev)?/([a-z0-9][-.a-z0-9]*)")


class Cluster(Protocol):
    """One namespace of a cluster, as far as commands look into it.

    Raises errors of the tree in `autollm.errors`; OutageError where the API server does not answer, or asks to come later.
    """

    def outline(self, run: str) -> RunState:
        """Return a run with its trainings, without its trials: what changes while one watches."""
        ...

    def state(self, run: str) -> RunState:
        """Return a run with all its children."""
        ...

    def logs(self, kind: Kind, name: str, task: str | None, *, follow: bool) -> Iterator[tuple[str, str]]:
        """Yield lines of the logs of an object's workers, each with the name of its pod; `follow` waits for more until the work ends.

        Who follows outlasts ten minutes without the API server.
        """
        ...

    def forget_failures(self, run: str) -> Iterator[str]:
        """Remove what failed, so that the operator tries it again, and yield what was removed."""
        ...

    def look_again(self, run: str) -> Iterator[str]:
        """Have the operator look at sources and artifacts again, and yield what was removed for that."""
        ...


class Place(Protocol):
    """Where a run is."""

    name: str
    """As the user wrote it."""

    def look(self) -> tuple[RunState, bool]:
        """Return how the run stands, without trials where they would take long, and whether anybody is at work on it."""
        ...

    def state(self) -> RunState:
        """Return the run with all its children."""
        ...


class FolderPlace:
    """A run in a folder, as `autollm run` made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    def look(self) -> tuple[RunState, bool]:
        """Return how the run stands, and whether an engine is at work on it; raises InputError where there is no run."""
        from autollm.local.lock import is_worked_on
        from autollm.local.paths import RunFolder

        at_work = is_worked_on(RunFolder(self.folder).lock)  # before the state, which is then no older
        return self.state(), at_work

    def state(self) -> RunState:
        """Return the run with all its children; raises InputError where there is none."""
        from autollm.report.state import read_state

        return read_state(self.folder)


class ClusterPlace:
    """An object in a cluster; of a run, the operator is taken to be at work on it."""

    def __init__(self, cluster: Cluster, kind: Kind, run: str, name: str) -> None:
        self.cluster, self.kind, self.run, self.name = cluster, kind, run, name

    def look(self) -> tuple[RunState, bool]:
        """Return how the run stands, without its trials."""
        return self.cluster.outline(self.run), True

    def state(self) -> RunState:
        """Return the run with all its children."""
        return self.cluster.state(self.run)


def place_of(
    text: str, namespace: str | None, context: str | None, *, kinds: Sequence[Kind] = ("AutoLLMRun",)
) -> FolderPlace | ClusterPlace:
    """Return what is meant by `runs/NAME` or `alr/NAME`; raises click.UsageError where it is neither, or of another kind."""
    found = _OBJECT.fullmatch(text)
    kind = _KINDS.get(found[1]) if found else None
    if found is None or kind is None:
        return _folder(text)
    if kind not in kinds:
        raise click.UsageError(f"{text} is no run: write alr/NAME, or the folder of a run")
    return ClusterPlace(_open(namespace, context), kind, found[2], text)


def _folder(text: str) -> FolderPlace:
    if Path(text).is_dir():
        return FolderPlace(Path(text))
    kind, slash, name = text.partition("/")
    if slash and kind.removesuffix(".autollm.dev") in _KINDS:
        raise click.UsageError(f"{text}: {name!r} is no name in a cluster: those have small letters, digits, dashes and dots")
    raise click.UsageError(f"The folder {text} does not exist; a run in a cluster is written alr/NAME")


def _open(namespace: str | None, context: str | None) -> Cluster:
    for point in entry_points(group=GROUP):
        try:
            opened: Cluster = point.load()(namespace, context)
        except ModuleNotFoundError as error:
            raise click.UsageError(f"looking into a cluster needs the package {error.name!r}: {_INSTALL}") from error
        return opened
    raise click.UsageError(f"looking into a cluster needs the operator's package: {_INSTALL}")


def in_a_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which cluster and namespace are meant."""
    command = click.option("--context", metavar="NAME", help="The context of the kubeconfig.  [default: the current one]")(command)
    return click.option("-n", "--namespace", metavar="NAME", help="The namespace of alr/NAME.  [default: the context's]")(command)


def with_place(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument RUN and the options of clusters; it is called with `place` in their stead."""

    @click.argument("run", metavar="RUN")
    @in_a_cluster
    @functools.wraps(command)
    def called(run: str, namespace: str | None, context: str | None, **others: Any) -> Any:
        place = place_of(run, namespace, context)
        if isinstance(place, FolderPlace) and (namespace, context) != (None, None):
            raise click.UsageError(f"--namespace and --context are for runs in a cluster, and {run} is a folder: write alr/NAME")
        return command(place=place, **others)

    return called
