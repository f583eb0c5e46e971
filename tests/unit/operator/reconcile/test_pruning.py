"""What earlier documents left of a run is deleted by the operator: of this run alone, and nothing waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from autollm_operator.api.port import ForbiddenError
from autollm_operator.api.resources import TRIALS
from support.cluster_world import NAMESPACE, ClusterWorld, Killed, remote_run
from support.fake_api import Call, When

SEARCH = {"trials": 4}


def change(world: ClusterWorld, *numbers: int) -> None:
    """Let the user ask for other metrics, each time once the run has ended: all is scored again, and what is published is the same."""
    for number in numbers:
        metric = {"name": f"m{number}", "match": {}}
        world.apply(remote_run(search=SEARCH, evaluation={"metrics": [metric]}))
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"


def past() -> tuple[ClusterWorld, set[str]]:
    """Return a world, and the trials of the document that is neither the first, whose model is published, nor the last."""
    world = ClusterWorld()
    world.apply(remote_run(search=SEARCH))
    world.settle()
    published = names(world)
    change(world, 1)
    return world, names(world) - published


def names(world: ClusterWorld) -> set[str]:
    return {trial.metadata.name for trial in world.trials()}


def test_trials_of_documents_long_past_are_deleted() -> None:
    world, old = past()
    theirs = {**world.get(TRIALS, min(old)), "metadata": {"name": "theirs", "namespace": NAMESPACE}}
    theirs.pop("status")
    world.api.create(TRIALS, theirs)
    change(world, 2, 3, 4, 5)
    assert not old & names(world)
    assert "theirs" in names(world), "it looks like one of them, but the run does not control it"
    deleted = [call for call in world.api.calls if call.verb == "delete" and call.resource == TRIALS]
    assert len(deleted) == len({call.name for call in deleted}), "each is deleted once"


def test_where_they_may_not_be_deleted_the_run_is_none_the_worse() -> None:
    world, old = past()

    def on_call(call: Call, when: When) -> None:
        if (call.verb, call.resource) == ("delete", TRIALS):
            raise ForbiddenError("mergetrials.autollm.dev is forbidden", status=403)

    world.on_call = on_call
    change(world, 2, 3, 4, 5)
    assert world.conditions()["Stalled"] == ("False", world.conditions()["Succeeded"][1])
    assert old <= names(world)
    world.on_call = lambda call, when: None
    world.now += timedelta(minutes=10)
    world.start_operator()
    world.settle()
    assert not old & names(world)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_an_operator_that_dies_while_it_deletes_is_followed_by_one_that_goes_on(dies: When) -> None:
    world, old = past()
    died: list[str] = []

    def on_call(call: Call, when: When) -> None:
        if (call.verb, call.resource, when) == ("delete", TRIALS, dies) and not died:
            died.append(call.name)
            raise Killed

    world.on_call = on_call
    with pytest.raises(Killed):
        change(world, 2, 3, 4, 5)
    world.start_operator()
    world.settle()
    change(world, 4, 5)
    assert died
    assert not old & names(world)
