"""A real Prometheus scrapes a real operator of a real API server, through the life of a run, a restart, and the run's deletion."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import AnyTask
from charts.dashboard.panels import SECTIONS, Query
from cluster.cluster import Cluster
from cluster.connection import APPLY
from cluster.waiting import wait_until
from docs.monitoring_page import Asked, ask
from support.cluster_run import ClusterRun
from support.operator_process import OperatorProcess, running_operator
from support.prometheus import RULES, Prometheus, prometheus
from support.simulated_pods import Ending, SimulatedPods

SECONDS = {"train": 10.0, "trial": 0.3}
QUERIES = [query for section in SECTIONS for panel in section.panels for query in panel.queries]
RECORDED = re.findall(r"record: (\S+)", RULES.read_text())
AT_WORK = re.compile(r'autollm_run_gpus\{|autollm_run_jobs\{.*state="(?:running|waiting)"')
FROM_RUNS = re.compile(r"autollm_(?:run|trial|reused)\w*\{")


@dataclass(frozen=True)
class Watched:
    """A run that has ended, the operator that looks after it, and the Prometheus that has scraped it all along."""

    run: ClusterRun
    operator: OperatorProcess
    server: Prometheus
    asked: Asked

    def series(self) -> list[str]:
        """Return the run's series, as the operator tells them now."""
        return sorted(line for line in self.operator.metrics().splitlines() if FROM_RUNS.match(line) and f'"{self.run.name}"' in line)

    def known(self) -> list[str]:
        """Return the names of the run's series that Prometheus knows of now."""
        of_run = f'{{namespace="{self.run.namespace}", run="{self.run.name}"}}'
        return sorted({labels.get("__name__", "") for labels, _ in self.server.query(of_run)})

    def until_told(self, query: str, holds: Callable[[list[tuple[Mapping[str, str], float]]], bool]) -> None:
        """Wait until Prometheus answers a query as it should; for a moment after a scrape that failed, it knows nothing."""
        wait_until(lambda: holds(self.server.query(query)), f"{query} does not give what the run's status says", seconds=30)


@pytest.fixture(scope="module")
def watched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, namespace = tmp_path_factory.mktemp("scraped"), cluster.namespace()
    run = ClusterRun(cluster, namespace, "bot")
    pods = SimulatedPods(cluster.admin, namespace, seconds=lambda what: SECONDS.get(what, 0.5), fault=_store_is_away_at_first)
    with running_operator(folder, cluster.kubeconfig, namespace) as operator, pods:
        operator.wait_ready()
        with prometheus(folder, targets=[f"127.0.0.1:{operator.port}"]) as server:
            begin = time.time()
            run.apply(search={"trials": 12, "optimizer": {"random": None, "bayesian": {}}})
            _report_progress(run)
            wait_until(lambda: bool(server.query("autollm_run_training_loss")), "no progress of a training was scraped")
            wait_until(lambda: bool(server.query("autollm_run_failed_pods")), "no failed pod was scraped")
            run.wait("Succeeded", "True", "Published")
            wait_until(lambda: bool(server.query("autollm_run_published_revision == 1")), "no revision was scraped")
            yield Watched(run, operator, server, Asked(server.url, begin, time.time(), namespace=namespace))
    cluster.delete_namespace(namespace)


def _store_is_away_at_first(task: AnyTask, attempt: int) -> Ending | None:
    return Ending(ExitCode.UNAVAILABLE, "Error") if task.kind == "Train" and attempt == 0 else None


def _report_progress(run: ClusterRun) -> None:
    """Report for every training, as its worker does."""
    run.until(lambda: len(run.jobs("train")) == 2, "there are no trainings")
    for training in run.children("deltatrainings"):
        name = training["metadata"]["name"]
        status = {"progress": {"step": 10, "steps": 40, "loss": "1.5", "tokensPerSecond": 900}}
        document: dict[str, Any] = {"apiVersion": "autollm.dev/v1alpha1", "kind": "DeltaTraining", "metadata": {"name": name}}
        path = f"{run.of('deltatrainings', name)}/status?fieldManager=autollm-progress&force=true"
        run.cluster.admin.expect("PATCH", path, document | {"status": status}, content_type=APPLY)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression)
def test_every_query_of_the_dashboard_gives_data(watched: Watched, query: Query) -> None:
    # What the end of a run tells is in the range once a step of it lies after the scrape.
    wait_until(lambda: bool(ask(replace(watched.asked, end=time.time()), query)), f"{query.expression} gives nothing")


@pytest.mark.parametrize("name", RECORDED)
def test_every_recording_rule_gives_data(watched: Watched, name: str) -> None:
    wait_until(lambda: bool(ask(replace(watched.asked, end=time.time()), Query(name, ""))), f"{name} gives nothing")


def test_every_rule_is_evaluated_without_error(watched: Watched) -> None:
    wait_until(lambda: all(rule["health"] != "unknown" for rule in watched.server.rules()), "rules were not evaluated")
    assert {rule["name"]: rule.get("lastError") for rule in watched.server.rules() if rule["health"] != "ok"} == {}


def test_no_alert_stays_pending_once_a_run_has_gone_well(watched: Watched) -> None:
    wait_until(lambda: not watched.server.query("ALERTS"), f"there are alerts: {watched.server.query('ALERTS')}")


def test_the_namespace_is_the_runs_own(watched: Watched) -> None:
    watched.until_told("autollm_run_info", lambda found: {labels["namespace"] for labels, _ in found} == {watched.run.namespace})
    assert watched.server.query('{exported_namespace!=""}') == []


def test_the_numbers_are_those_of_the_status(watched: Watched) -> None:
    status, of_run = watched.run.status(), f'{{run="{watched.run.name}"}}'
    watched.until_told(f"autollm_run_best_score{of_run}", lambda found: [value for _, value in found] == [float(status["best"]["score"])])
    weights = {name: float(weight) for name, weight in status["best"]["weights"].items()}
    watched.until_told(f"autollm_run_weight{of_run}", lambda found: {labels["delta"]: value for labels, value in found} == weights)
    tested = {row["name"]: float(row["test"]["score"]) for row in status["results"] if "test" in row}
    watched.until_told(f"autollm_run_test_score{of_run}", lambda found: {labels["row"]: value for labels, value in found} == tested)


def test_an_operator_that_was_killed_tells_the_same_when_it_is_back(watched: Watched) -> None:
    # The run has its revision a moment before the Job that published it has ended.
    wait_until(lambda: not any(AT_WORK.match(line) for line in watched.series()), "a Job still runs")
    before = watched.series()
    assert len(before) > 50
    watched.operator.kill()
    watched.operator.start()
    watched.operator.wait_ready()
    assert watched.series() == before


def test_a_deleted_run_leaves_no_series(watched: Watched) -> None:
    wait_until(lambda: bool(watched.known()), "the run is not scraped")
    watched.run.delete()
    wait_until(lambda: not watched.series(), "series are left of a run that is gone", seconds=60)
    wait_until(lambda: not watched.known(), "Prometheus knows of a run that is gone", seconds=60)
