"""Watch a run until it ends, from any terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from autollm.cli.outage import Outage
from autollm.cli.place import ClusterPlace, FolderPlace, Place, with_place
from autollm.errors import OutageError

if TYPE_CHECKING:
    from autollm.report.state import RunState

LOOK_SECONDS = 0.5
CLUSTER_LOOK_SECONDS = 2.0


@click.command(name="watch")
@with_place
def command(place: FolderPlace | ClusterPlace) -> None:
    """Watch RUN, a folder or alr/NAME, until it ends or rests; Ctrl-C stops the watching, not the run.

    Exit code 1 where the run failed, stalled or may not be looked at, 69 where the API server has been away for ten minutes, else 0.
    Without a terminal, a line is written whenever something changes.
    """
    from autollm.cli.screen import screen
    from autollm.report.overview import outcome, overview

    console = screen()
    looks = _looks(place)
    state, at_work = next(looks)
    if console.is_terminal:
        from rich.live import Live

        with Live(overview(state, at_work=at_work), console=console, refresh_per_second=4, transient=True) as live:
            for state, at_work in looks:
                live.update(overview(state, at_work=at_work))
        console.print(overview(state, at_work=at_work))
    else:
        console.print(told := _line(state, at_work), soft_wrap=True, markup=False)
        for state, at_work in looks:
            if (line := _line(state, at_work)) != told:
                console.print(told := line, soft_wrap=True, markup=False)
    if outcome(state, at_work=at_work)[0] in ("failed", "stalled"):
        raise click.exceptions.Exit(1)


def _looks(place: Place) -> Iterator[tuple[RunState, bool]]:
    """Yield the run's state again and again, and at last the one in which it rests; raises OutageError where its server stays away."""
    from autollm.report.overview import is_at_rest

    outage = Outage()
    while True:
        try:
            state, at_work = place.look()
        except OutageError as error:
            outage.bear(error)
        else:
            outage.end()
            yield state, at_work
            if is_at_rest(state, at_work=at_work):
                return
        time.sleep(LOOK_SECONDS if isinstance(place, FolderPlace) else CLUSTER_LOOK_SECONDS)


def _line(state: RunState, at_work: bool) -> str:
    from autollm.report.overview import hint, outcome

    word = outcome(state, at_work=at_work)[0]
    succeeded = state.condition("Succeeded")
    told = hint(word, state) if succeeded is None else f"{succeeded.reason}: {succeeded.message}"
    return f"{word}, {told}" if told else word
