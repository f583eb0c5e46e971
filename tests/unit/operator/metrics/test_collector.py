"""The series of runs: what the cache holds, no more and no less, at every scrape."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autollm.store import open_store
from autollm_operator.api.resources import RUNS, TRIALS, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.metrics.exposition import build_registry, expose
from autollm_operator.metrics.series import MOST_DELTAS, RUN_SERIES
from autollm_operator.metrics.standing import bounded
from support.runs import make_run
from support.sample_cluster import Document, documents
from support.sample_run import advance, sample_run, scored_trials, training_under_way
from support.sample_workers import SampleWorkers
from support.world import World

GPU: dict[str, Any] = {
    "workers": {"train": {"resources": {"limits": {"nvidia.com/gpu": 2}}}, "evaluate": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}
}
Labels = frozenset[tuple[str, str]]


class Queue:
    """A queue with two keys in it."""

    def depth(self) -> int:
        return 2

    def oldest_age(self) -> float:
        return 1.5


class Scraped:
    """One scrape, as Prometheus reads it."""

    def __init__(self, cache: Cache) -> None:
        body, self.content_type = expose(build_registry(cache, Queue()), "")
        self.text = body.decode()
        self.samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                self.samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value

    def one(self, name: str, **labels: str) -> float | None:
        """Return the value of the one series that has these labels, None where there is none."""
        found = [value for has, value in self.samples.get(name, {}).items() if labels.items() <= dict(has).items()]
        assert len(found) <= 1, f"{name}{labels} is {len(found)} series"
        return found[0] if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the values of a metric by one of its labels."""
        return {dict(has)[label]: value for has, value in self.samples.get(name, {}).items()}

    def runs(self) -> set[str]:
        """Return the runs of which there is any series."""
        return {value for series in self.samples.values() for has in series for label, value in has if label == "run"}


def filled(objects: Iterable[tuple[Resource, Document]]) -> Cache:
    cache = Cache()
    for resource, document in objects:
        cache.put(resource, document)
    return cache


@pytest.fixture
def world(tmp_path: Path) -> World:
    run = sample_run(tmp_path / "artifacts", **GPU)
    return World(run, SampleWorkers(open_store(run.spec.artifacts.uri), lambda text: text))


def status_of(world: World) -> Any:
    return world.run.status


def test_a_run_that_is_new_has_what_its_document_says(world: World) -> None:
    scraped = Scraped(filled(documents(world)))
    assert scraped.one("autollm_run_info", namespace="team-a", run="quickstart", stage="", revision="") == 1
    assert scraped.one("autollm_run_trials_asked") == 24
    assert scraped.one("autollm_run_best_score") is None
    assert scraped.one("autollm_run_last_trial_timestamp_seconds") is None


def test_a_search_under_way(world: World) -> None:
    advance(world, scored_trials(5))
    scraped = Scraped(filled(documents(world)))
    status = status_of(world)
    assert scraped.one("autollm_run_info", stage="Searching") == 1
    assert scraped.by("autollm_run_trials", "state") == {"succeeded": 5, "failed": 0, "running": status.trials.running}
    assert scraped.one("autollm_run_best_score") == float(status.best.score)
    assert scraped.one("autollm_run_best_standard_error") == float(status.best.standard_error)
    assert scraped.by("autollm_run_weight", "delta") == {name: float(weight) for name, weight in status.best.weights.items()}
    ended = [trial for trial in world.trials.values() if trial.status is not None and trial.status.score is not None]
    latest = max(ended, key=lambda trial: trial.spec.place)
    assert latest.status is not None
    assert latest.status.score is not None
    assert scraped.one("autollm_run_last_score") == float(latest.status.score)
    assert sum(scraped.by("autollm_run_candidates", "optimizer").values()) == len(world.trials)
    assert scraped.by("autollm_run_deltas", "state") == {"imported": 0, "reused": 0, "trained": 4, "failed": 0, "pending": 0}
    assert scraped.one("autollm_run_condition", type="SearchComplete", status="Unknown") == 1
    assert scraped.one("autollm_run_condition", type="SearchComplete", status="True") == 0
    assert scraped.one("autollm_run_jobs", task="evaluate", state="running") == 1
    assert scraped.one("autollm_run_gpus", task="evaluate") == 1


def by_hand(name: str, created: str, **status: Any) -> tuple[Resource, Document]:
    """A trial that somebody made for the run, a better one than any of the search."""
    metadata = {
        "name": name,
        "namespace": "team-a",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": "9000000",
        "creationTimestamp": created,
    }
    spec = {"run": "quickstart", "split": "Search", "weights": {"math/sft": "1"}}
    if status:
        ended = {"type": "Succeeded", "status": "True", "reason": "Scored", "message": "", "lastTransitionTime": created}
        seconds = {"merge": "1000", "evaluate": "1000"}
        status |= {
            "conditions": [ended],
            "seconds": seconds,
            "standardError": "0.01",
            "items": 40,
            "metrics": [],
            "sources": [],
            "results": "x",
        }
    return TRIALS, {"kind": "MergeTrial", "apiVersion": "autollm.dev/v1alpha1", "metadata": metadata, "spec": spec, "status": status}


def test_trials_by_hand_are_told_and_change_nothing_else(world: World) -> None:
    advance(world, scored_trials(5))
    alone = Scraped(filled(documents(world)))
    assert alone.by("autollm_run_trials_by_hand", "state") == {}
    made = [
        by_hand("first", "2026-01-01T10:00:00Z", score="0.99"),
        by_hand("second", "2026-01-01T11:00:00Z", score="0.98"),
        by_hand("third", "2026-01-01T12:00:00Z"),
    ]
    cache = filled([*documents(world), *made])
    scraped = Scraped(cache)
    assert scraped.by("autollm_run_trials_by_hand", "state") == {"succeeded": 2, "failed": 0, "running": 1}
    assert scraped.by("autollm_run_by_hand_last_score", "split") == {"Search": 0.98}
    others = {name: series for name, series in scraped.samples.items() if name.startswith("autollm_run_") and "by_hand" not in name}
    assert others == {name: series for name, series in alone.samples.items() if name.startswith("autollm_run_")}
    assert scraped.samples["autollm_trial_duration_seconds_sum"] == alone.samples["autollm_trial_duration_seconds_sum"]
    for resource, document in made:
        cache.drop(resource, document)
    assert Scraped(cache).by("autollm_run_trials_by_hand", "state") == {}


def test_a_training_under_way(world: World) -> None:
    advance(world, training_under_way)
    scraped = Scraped(filled(documents(world, gpus=2)))
    assert scraped.by("autollm_run_training_step", "delta") == {"math/sft": 45}
    assert scraped.by("autollm_run_training_steps", "delta") == {"math/sft": 100}
    assert scraped.by("autollm_run_training_loss", "delta") == {"math/sft": 1.2345}
    assert scraped.by("autollm_run_training_tokens_per_second", "delta") == {"math/sft": 812}
    assert scraped.by("autollm_run_gpus", "task")["train"] == 2 * scraped.by("autollm_run_jobs", "task")["train"]


def test_a_run_that_has_published(world: World) -> None:
    advance(world, lambda world: False)
    scraped = Scraped(filled(documents(world)))
    status = status_of(world)
    tested = {row.name: float(row.test.score) for row in status.results if row.test is not None}
    assert scraped.by("autollm_run_test_score", "row") == tested
    assert scraped.by("autollm_run_lead", "row").keys() == {row.name for row in status.results if row.versus is not None}
    assert scraped.one("autollm_run_published_revision") == 1
    assert scraped.one("autollm_run_info", stage="Published", revision="r1") == 1
    durations = scraped.samples["autollm_trial_duration_seconds_count"]
    assert sum(durations.values()) == len([trial for trial in world.trials.values() if trial.status and trial.status.seconds])
    deltas = [training.status.delta for training in world.trainings.values() if training.status is not None]
    trained = sum(float(delta.seconds or 0) for delta in deltas if delta is not None)
    hours = scraped.by("autollm_run_gpu_hours", "work")
    assert hours["train"] == pytest.approx(trained * 2 / 3600)
    assert hours["evaluate"] == pytest.approx(sum(scraped.samples["autollm_trial_duration_seconds_sum"].values()) / 3600)
    assert scraped.one("autollm_reused_deltas_total") == 0


def test_deltas_that_were_found_are_counted_and_cost_nothing(world: World) -> None:
    advance(world, lambda world: False)
    for name, training in world.trainings.items():
        assert training.status is not None
        world.trainings[name] = training.model_copy(update={"status": training.status.model_copy(update={"reused": True})})
    scraped = Scraped(filled(documents(world)))
    assert scraped.one("autollm_reused_deltas_total") == 4
    assert scraped.by("autollm_run_gpu_hours", "work")["train"] == 0


def test_a_deleted_run_leaves_no_series(world: World) -> None:
    advance(world, scored_trials(5))
    other = World(make_run("other"))
    cache = filled([*documents(world), *documents(other)])
    registry = build_registry(cache, Queue())
    assert 'run="quickstart"' in expose(registry, "")[0].decode()
    for resource, document in documents(world):
        cache.drop(resource, document)
    assert Scraped(cache).runs() == {"other"}
    assert 'run="quickstart"' not in expose(registry, "")[0].decode(), "a collector that had seen it remembers it"


def test_another_process_exposes_the_same(world: World) -> None:
    cache = Cache()
    registry = build_registry(cache, Queue())
    for version, trials in enumerate((2, 5, 9), 1):
        advance(world, scored_trials(trials))
        for resource, document in documents(world, version=version):
            cache.put(resource, document)
        expose(registry, "")
    seen_all_along, seen_at_once = (
        [line for line in expose(one, "")[0].decode().splitlines() if "run=" in line]
        for one in (registry, build_registry(filled(documents(world)), Queue()))
    )
    assert seen_all_along == seen_at_once
    assert len(seen_at_once) > 50


def test_trials_that_are_deleted_are_no_longer_counted(world: World) -> None:
    advance(world, scored_trials(5))
    cache = filled(documents(world))
    registry = build_registry(cache, Queue())
    expose(registry, "")
    scored = next(document for resource, document in documents(world) if resource == TRIALS and "score" in document.get("status", {}))
    cache.drop(TRIALS, scored)
    counted = [line for line in expose(registry, "")[0].decode().splitlines() if line.startswith("autollm_trial_duration_seconds_count")]
    assert [line.split()[-1] for line in counted] == ["4.0"]


def test_no_label_names_a_trial_and_every_metric_is_told(world: World) -> None:
    advance(world, lambda world: False)
    scraped = Scraped(filled(documents(world)))
    assert not any(name in scraped.text for name in world.trials)
    for series in RUN_SERIES:
        assert f"# HELP {series.name} " in scraped.text
        for has in scraped.samples.get(series.name, {}):
            assert {label for label, _ in has} == {"namespace", "run", *series.labels}


HOSTILE = 'x"} 1\nautollm_run_best_score{namespace="team-b",run="theirs"} 0.99\n#\\'


def test_no_text_of_a_document_becomes_another_series(world: World) -> None:
    advance(world, lambda world: False)
    objects = list(documents(world))
    run = next(document for resource, document in objects if resource == RUNS)
    for condition in run["status"]["conditions"]:
        condition["type"] += HOSTILE
    run["status"]["results"][0]["name"] = HOSTILE
    run["status"]["published"]["revision"] = 'r1"} 1\n#'
    scraped = Scraped(filled(objects))
    assert scraped.runs() == {"quickstart"}
    assert scraped.one("autollm_run_best_score", namespace="team-b") is None
    assert HOSTILE in scraped.by("autollm_run_test_score", "row")
    assert scraped.one("autollm_run_published_revision") is None


def test_a_thousand_deltas_are_sixty_four_and_the_sum_of_the_others() -> None:
    weights = bounded({f"source-{index}/sft": Decimal(index % 7) for index in range(1000)})
    assert len(weights) == MOST_DELTAS + 1
    assert sum(weights.values()) == sum(index % 7 for index in range(1000))
    assert weights["(others)"] == sum(index % 7 for index in range(1000)) - 64 * 6


def test_a_run_that_cannot_be_read_hides_no_other(world: World) -> None:
    objects = list(documents(world))
    unreadable = {**objects[0][1], "metadata": {**objects[0][1]["metadata"], "name": "newer", "uid": "newer"}, "spec": {"of": "v2"}}
    assert Scraped(filled([*objects, (RUNS, unreadable)])).runs() == {"quickstart"}


def many(runs: int, trials: int) -> Cache:
    """Return a cache of runs that have scored so many trials each."""
    cache = Cache()
    world = World(make_run("large", search={"trials": 2}))
    advance(world, scored_trials(1))
    base = list(documents(world))
    scored = next(document for resource, document in base if resource == TRIALS and "score" in document.get("status", {}))
    for index in range(runs):
        uid = f"run-{index}"
        for resource, document in base:
            if resource == RUNS:
                cache.put(RUNS, {**document, "metadata": {**document["metadata"], "name": uid, "uid": uid}})
        owner = [{"kind": "AutoLLMRun", "name": uid, "uid": uid, "controller": True}]
        for number in range(trials):
            metadata = {**scored["metadata"], "name": f"{uid}-{number}", "uid": f"{uid}-{number}", "ownerReferences": owner}
            cache.put(TRIALS, {**scored, "metadata": metadata, "spec": {**scored["spec"], "run": uid, "number": number}})
    return cache


def test_a_scrape_of_fifty_runs_stays_cheap_however_many_trials_they_have() -> None:
    cache = many(runs=50, trials=100)
    registry = build_registry(cache, Queue())
    expose(registry, "")
    begun = process_time()
    body, _ = expose(registry, "")
    assert process_time() - begun < 0.5
    assert body.count(b"autollm_trial_duration_seconds_count{") == 50
