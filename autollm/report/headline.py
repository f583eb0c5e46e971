"""The first lines of a report: how the run ended, in words and in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autollm.report.state import BASE, WINNER, RunState, best_single
from autollm.resources.run_status import ResultRow


@dataclass(frozen=True)
class Tile:
    """One number with what it is and what stands behind it."""

    label: str
    value: str
    note: str = ""


def headline(state: RunState) -> str:
    """Return the outcome in a sentence or two."""
    auto, base = state.row(WINNER), state.row(BASE)
    if auto is None or auto.test is None:
        return _progress(state)
    against = f", the base {float(base.test.score):.3f}" if base is not None and base.test is not None else ""
    published = state.condition("Published")
    end = f" {published.message}" if published is not None and published.message else ""
    if state.moved_to is not None:
        end += f" Since then latest was moved to {state.moved_to}."
    return f"The merged model scores {float(auto.test.score):.3f} on the test split{against}.{end}"


def _progress(state: RunState) -> str:
    for name in ("Stalled", "Reconciling", "Succeeded"):
        found = state.condition(name)
        if found is not None and found.message and (name == "Succeeded" or found.status == "True"):
            return f"{found.reason}: {found.message}"
    return "The run has not begun."


def tiles(state: RunState) -> list[Tile]:
    """Return the numbers that people look for first, as far as they are known."""
    return list(_tiles(state))


def _tiles(state: RunState) -> Iterator[Tile]:
    auto, best, trials = state.row(WINNER), state.status.best, state.status.trials
    if auto is not None and auto.test is not None:
        yield Tile("test score of the merged model", f"{float(auto.test.score):.3f}", f"±{float(auto.test.standard_error):.3f}")
        yield from _ahead("ahead of the base", state.row(BASE))
        single = best_single(state)
        if single is not None:
            yield from _ahead(f"ahead of the best single delta, {single.name}", single)
    elif best is not None:
        yield Tile("best search score so far", f"{float(best.score):.3f}", f"±{float(best.standard_error):.3f}")
    if trials is not None:
        yield Tile(
            "trials", f"{trials.succeeded}", f"of {state.run.spec.search.trials}" + (f", {trials.failed} failed" if trials.failed else "")
        )
    if state.published is not None:
        yield Tile("published", state.published.revision)


def _ahead(label: str, row: ResultRow | None) -> Iterator[Tile]:
    if row is not None and row.versus is not None:
        versus = row.versus
        yield Tile(label, f"{float(versus.difference):+.3f}", f"{float(versus.low):+.3f} to {float(versus.high):+.3f}")
