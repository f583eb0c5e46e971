"""The gate, the revision in use, and pins."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.tasks import PublishTask
from autollm.plan.actions import EnsureTrial
from autollm.plan.landscape import is_pending
from autollm.plan.step import Ended
from autollm.resources.facts import Difference, PublishedRevision
from autollm.resources.merge_trial import MergeTrial
from support import synthetic
from support.runs import make_run
from support.world import World

BEST = {"weights": {name: f"{synthetic.best_weight(name):.4f}" for name in ("math/sft", "code/sft")}}
POOR = {"weights": {"math/sft": "0.5", "code/sft": "0.5"}}
CONSTRAINED = {
    "metrics": [{"name": "answers", "match": {}}, {"name": "style", "likelihood": {}}],
    "constraints": [{"metric": "style", "margin": "0.02"}],
}


def rows(world: World) -> list[str]:
    status = world.run.status
    return [row.name for row in (status.results if status else None) or []]


def latest(world: World) -> str:
    status = world.run.status
    assert status is not None
    assert status.published is not None
    return status.published.revision


def differing(monkeypatch: pytest.MonkeyPatch, difference: str, low: str, **metrics: tuple[str, str]) -> None:
    """Let every test come out with these differences of the winner to all others."""
    real = synthetic.result

    def result(trial: MergeTrial, others: Mapping[str, MergeTrial]) -> Any:
        asked: list[tuple[str | None, str, str]] = [(None, difference, low), *((metric, *values) for metric, values in metrics.items())]
        made = [
            Difference(
                trial=one.trial, metric=metric, difference=Decimal(value), low=Decimal(bound), high=Decimal(1), gate_low=Decimal(bound)
            )
            for one in trial.spec.against or []
            for metric, value, bound in asked
        ]
        return real(trial, others).model_copy(update={"differences": made or None})

    monkeypatch.setattr(synthetic, "result", result)


def comparing_by_constraints(monkeypatch: pytest.MonkeyPatch, **lows: str) -> None:
    """Let the evaluators compare as real ones do: by the objective and by the metrics that the trial names."""
    real = synthetic.result

    def result(trial: MergeTrial, others: Mapping[str, MergeTrial]) -> Any:
        made = [
            Difference(
                trial=one.trial,
                metric=metric,
                difference=Decimal("0.02"),
                low=Decimal("0.01"),
                high=Decimal(1),
                gate_low=Decimal(lows.get(metric or "", "0.01")),
            )
            for one in trial.spec.against or []
            for metric in [None, *(trial.spec.compared_by or [])]
        ]
        return real(trial, others).model_copy(update={"differences": made or None})

    monkeypatch.setattr(synthetic, "result", result)


class TestGate:
    def test_better_with_confidence_is_published(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differing(monkeypatch, "0.02", "0.001")
        world = World(make_run())
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")

    def test_better_without_confidence_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differing(monkeypatch, "0.02", "0")
        world = World(make_run())
        made = world.settle()
        assert world.conditions()["Published"] == ("False", "NotBetter")
        assert made.state == Ended(True, "NotPublished", made.state.message)
        assert "+0.02 against the base model" in made.state.message
        assert not world.revisions

    def test_the_base_itself_is_not(self) -> None:
        world = World(make_run(search={"space": {"max": "0.00001"}, "trials": 1}))
        world.settle()
        assert world.conditions()["Published"] == ("False", "NothingBetter")
        assert world.conditions()["Succeeded"] == ("True", "NotPublished")

    def test_a_broken_constraint_holds_it_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differing(monkeypatch, "0.02", "0.01", style=("-0.01", "-0.021"))
        world = World(make_run(evaluation=CONSTRAINED))
        made = world.settle()
        assert world.conditions()["Published"] == ("False", "ConstraintBroken")
        assert "style may fall by 0.02 below the base model, and may have fallen by 0.021" in made.state.message

    def test_a_constraint_that_is_kept_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differing(monkeypatch, "0.02", "0.01", style=("-0.01", "-0.02"))
        world = World(make_run(evaluation=CONSTRAINED))
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")

    def test_a_constraint_that_nobody_scored_holds_it_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differing(monkeypatch, "0.02", "0.01")
        world = World(make_run(evaluation=CONSTRAINED))
        world.settle()
        assert world.conditions()["Published"] == ("False", "ConstraintBroken")

    def test_a_constraint_on_another_metric_after_the_test_is_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(make_run(evaluation=CONSTRAINED))
        comparing_by_constraints(monkeypatch, style="-0.5")
        world.settle()
        assert world.conditions()["Published"] == ("False", "ConstraintBroken")
        world.change(make_run(evaluation={**CONSTRAINED, "constraints": [{"metric": "answers", "margin": "0.02"}]}).spec)
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")

    def test_a_constraint_added_while_the_winner_is_tested_is_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the same evaluators: a trial says by what it is compared, whoever scores it."""
        comparing_by_constraints(monkeypatch)
        search = {"parallelism": 2}
        world = World(make_run(search=search, evaluation={"metrics": CONSTRAINED["metrics"]}))
        while not any(is_pending(trial) and trial.spec.against for trial in world.trials.values()):
            for action in world.plan().actions:
                world.act(action)
            if not any(trial.spec.against for trial in world.trials.values()):
                world.finish(world.running()[0])
        world.change(make_run(search=search, evaluation=CONSTRAINED).spec)
        (ensured,) = world.plan().actions
        assert isinstance(ensured, EnsureTrial)
        assert (ensured.trial.spec.slot, ensured.trial.spec.compared_by) == (1, ["style"])
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")

    def test_another_margin_needs_no_other_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(make_run(evaluation=CONSTRAINED))
        comparing_by_constraints(monkeypatch, style="-0.5")
        world.settle()
        tested = len(world.trials)
        world.change(make_run(evaluation={**CONSTRAINED, "constraints": [{"metric": "style", "margin": "0.6"}]}).spec)
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")
        assert len(world.trials) == tested

    def test_the_base_is_scored_for_the_gate_even_where_it_is_no_baseline(self) -> None:
        world = World(make_run(baselines={"base": False, "each": False, "average": False}))
        world.settle()
        assert rows(world)[0] == "base"
        assert world.conditions()["Published"][0] == "True"


class TestRevisionInUse:
    def test_the_next_winner_has_to_be_better_than_it(self) -> None:
        world = World(make_run(search={"trials": 1, "start": [POOR]}))
        world.change(make_run(search={"trials": 3, "start": [POOR]}).spec)
        world.settle()
        assert "published" not in rows(world)
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}).spec)
        world.settle()
        assert "published" in rows(world)
        assert world.conditions()["Published"] == ("True", "Published")
        assert latest(world) == "r2"

    def test_once_it_is_published_nothing_is_compared_again(self) -> None:
        world = World(make_run(search={"trials": 3, "start": [POOR]}))
        world.settle()
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}).spec)
        world.settle()
        before = world.final_state()
        assert world.plan().actions == ()
        assert world.final_state() == before

    def test_more_trials_that_find_nothing_better_leave_it(self) -> None:
        world = World(make_run(search={"trials": 4, "start": [BEST]}))
        world.settle()
        tests = [name for name, trial in world.trials.items() if trial.spec.split == "Test"]
        world.change(make_run(search={"trials": 6, "start": [BEST], "finalists": 1}).spec)
        world.settle()
        assert latest(world) == "r1"
        assert world.conditions()["Published"] == ("True", "Published")
        assert [name for name, trial in world.trials.items() if trial.spec.split == "Test" and trial.spec.name != "auto"] == [
            name for name in tests if world.trials[name].spec.name != "auto"
        ]

    def test_one_of_another_base_is_scored_as_a_whole_model(self) -> None:
        world = World(make_run(search={"trials": 4, "start": [BEST]}))
        world.settle()
        world.change(make_run(model={"uri": "file:///models/another"}, search={"trials": 4, "start": [BEST]}).spec)
        world.settle()
        (whole,) = [trial for trial in world.trials.values() if trial.spec.model is not None]
        assert whole.spec.name == "published"
        assert whole.spec.weights == {}
        assert latest(world) == "r2"

    def test_what_a_later_preparation_saw_counts_more_than_what_was_reported_before_it(self) -> None:
        world = World(make_run(search={"start": [BEST]}))
        world.settle()
        status = world.run.status
        assert status is not None
        # Somebody moved `latest` to another model; a new source makes the data be prepared again.
        other = PublishedRevision(
            revision="r9", uri="file:///r9", digest=digest_bytes(b"r9"), base=digest_bytes(b"another base"), weights={}, deltas={}
        )
        world.run = world.run.model_copy(update={"status": status.model_copy(update={"published": other})})
        more = [*[source.document() for source in make_run().spec.sources], {"name": "law", "file": {"uri": "file:///law.jsonl"}}]
        world.change(make_run(sources=more, search={"start": [BEST]}).spec)
        world.settle()
        assert [trial.spec.model.uri for trial in world.trials.values() if trial.spec.model] == ["file:///r9"]


class TestPin:
    def two_revisions(self) -> World:
        world = World(make_run(search={"trials": 3, "start": [POOR]}))
        world.settle()
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}).spec)
        world.settle()
        assert sorted(world.revisions) == ["r1", "r2"]
        return world

    def test_it_moves_latest_before_anything_else(self) -> None:
        world = self.two_revisions()
        world.change(make_run(search={"trials": 9, "start": [POOR, BEST]}, publish={"pin": "r1"}).spec)
        (action,) = world.plan().actions
        world.act(action)
        assert [task.kind for task, state in world.tasks.values() if state.phase == "Running"] == ["Pin"]
        world.settle()
        assert latest(world) == "r1"
        assert world.conditions()["Published"] == ("True", "Pinned")
        assert world.conditions()["Succeeded"] == ("True", "Pinned")

    def test_nothing_newer_is_published_while_it_stands_and_again_when_it_is_gone(self) -> None:
        world = self.two_revisions()
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}, publish={"pin": "r1"}).spec)
        world.settle()
        assert sorted(world.revisions) == ["r1", "r2"]
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}).spec)
        world.settle()
        assert world.conditions()["Published"] == ("True", "Published")
        assert latest(world) == "r3"
        published = [task for task, _ in world.tasks.values() if isinstance(task, PublishTask)]
        assert [task.replaces for task in published] == [None, "r1", "r1"]

    def test_a_pin_may_come_back(self) -> None:
        world = self.two_revisions()
        for revision in ("r1", "r2", "r1", "r2"):
            world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}, publish={"pin": revision}).spec)
            world.settle()
            assert (latest(world), world.conditions()["Succeeded"]) == (revision, ("True", "Pinned"))

    def test_a_pin_that_stands_asks_for_nothing(self) -> None:
        world = self.two_revisions()
        world.change(make_run(search={"trials": 8, "start": [POOR, BEST]}, publish={"pin": "r2"}).spec)
        assert world.plan().actions == ()
        assert world.conditions()["Published"] == ("True", "Pinned")
