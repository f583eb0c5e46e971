"""Runs in a made-up cluster, brought to one of their stages."""

from __future__ import annotations

from typing import Any

from support.cluster_world import ClusterWorld, remote_run


def started(**changes: Any) -> ClusterWorld:
    """A world in which a run was applied."""
    world = ClusterWorld()
    world.apply(remote_run(**changes))
    world.reconcile()
    return world


def until(world: ClusterWorld, condition: str) -> ClusterWorld:
    """Let everything end in order until a condition of the run holds."""
    for _ in range(200):
        world.reconcile()
        if world.conditions().get(condition, ("", ""))[0] == "True":
            return world
        world.finish(world.running()[0])
    raise AssertionError(f"{condition} is never reached: {world.conditions()}")


def searching(**search: Any) -> ClusterWorld:
    """A world whose run has its deltas and scores candidates."""
    return until(started(search=search), "DeltasReady")
