"""The rules with promtool: each alert fires in its own trouble, tells of it, and is silent where all is well or the reason is another."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import of_kind, render

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts" / "autollm" / "files" / "rules.yaml"
RUNBOOK = ROOT / "docs" / "how-to" / "monitoring.md"
RUN = 'namespace="team-a", run="bot"'


def groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(RULES.read_text())["groups"])


ORDER = [group["name"] for group in groups()]
ALERTS = {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


@dataclass(frozen=True)
class Case:
    """What Prometheus sees minute by minute, in promtool's notation, and the summary of the alert then; None: it does not fire."""

    name: str
    alert: str
    series: dict[str, str]
    summary: str | None
    at: str = "1h"
    labels: dict[str, str] = field(default_factory=lambda: {"namespace": "team-a", "run": "bot"})


def searching(stage: str = "Searching", trial_seconds: int = 60) -> dict[str, str]:
    """The series of a run that has scored two trials."""
    return {
        f'autollm_run_info{{{RUN}, stage="{stage}", revision=""}}': "1x100",
        f'autollm_run_condition_timestamp_seconds{{{RUN}, type="Reconciling"}}': "0x100",
        f'autollm_trial_duration_seconds_sum{{{RUN}, split="Search"}}': f"{2 * trial_seconds}x100",
        f'autollm_trial_duration_seconds_count{{{RUN}, split="Search"}}': "2x100",
    }


LAST_TRIAL = f"autollm_run_last_trial_timestamp_seconds{{{RUN}}}"
STEP = f'autollm_run_training_step{{{RUN}, delta="math/sft"}}'
FAILED, SUCCEEDED = (f'autollm_run_trials{{{RUN}, state="{state}"}}' for state in ("failed", "succeeded"))
WAITING = f'autollm_run_jobs{{{RUN}, task="train", state="waiting"}}'
AWAY = f'autollm_run_failed_pods{{{RUN}, task="train", cause="unavailable"}}'
STALLED = f'autollm_run_condition{{{RUN}, type="Stalled", status="True"}}'
NO_SUCCESS = f'autollm_run_condition{{{RUN}, type="Succeeded", status="False"}}'
ERRORS = 'autollm_reconcile_errors_total{kind="AutoLLMRun", reason="%s"}'
SUGGESTED = 'autollm_suggest_duration_seconds_count{fallback="%s"}'

CASES = [
    Case(
        "no trial has ended",
        "AutoLLMSearchStuck",
        {**searching(), LAST_TRIAL: "60x100"},
        "No trial of run team-a/bot has ended for 59m 0s.",
    ),
    Case("trials end", "AutoLLMSearchStuck", {**searching(), LAST_TRIAL: "0+60x100"}, None),
    Case("a trial takes ten minutes", "AutoLLMSearchStuck", {**searching(trial_seconds=600), LAST_TRIAL: "60x100"}, None),
    Case("the run trains anew", "AutoLLMSearchStuck", {**searching("Training"), LAST_TRIAL: "60x100"}, None),
    Case("the run is suspended", "AutoLLMSearchStuck", {**searching("Suspended"), LAST_TRIAL: "60x100"}, None),
    Case(
        "a queue holds the evaluators back",
        "AutoLLMSearchStuck",
        {**searching(), LAST_TRIAL: "60x100", f'autollm_run_jobs{{{RUN}, task="evaluate", state="suspended"}}': "1x100"},
        None,
    ),
    Case(
        "it was resumed just now",
        "AutoLLMSearchStuck",
        {**searching(), LAST_TRIAL: "60x100", f'autollm_run_condition_timestamp_seconds{{{RUN}, type="Reconciling"}}': "3000x100"},
        None,
    ),
    Case(
        "a third has failed",
        "AutoLLMTrialsFailing",
        {**searching(), FAILED: "5x100", SUCCEEDED: "10x100"},
        "33.33% of the trials of run team-a/bot have failed.",
    ),
    Case("one in ten has failed", "AutoLLMTrialsFailing", {**searching(), FAILED: "5x100", SUCCEEDED: "45x100"}, None),
    Case("the first two have failed", "AutoLLMTrialsFailing", {**searching(), FAILED: "2x100", SUCCEEDED: "0x100"}, None),
    Case("no trial has ended yet", "AutoLLMTrialsFailing", {**searching(), FAILED: "0x100", SUCCEEDED: "0x100"}, None),
    Case("the search is over", "AutoLLMTrialsFailing", {**searching("Published"), FAILED: "5x100", SUCCEEDED: "10x100"}, None),
    Case(
        "a training stands still",
        "AutoLLMTrainingNotProgressing",
        {STEP: "12x100"},
        "Training math/sft of run team-a/bot has done no step for 45 minutes.",
        labels={"namespace": "team-a", "run": "bot", "delta": "math/sft"},
    ),
    Case("a training does a step a quarter", "AutoLLMTrainingNotProgressing", {STEP: "12x14 13x14 14x14 15x40"}, None),
    Case("a training began half an hour ago", "AutoLLMTrainingNotProgressing", {STEP: "_x30 0x70"}, None),
    Case("a training began anew", "AutoLLMTrainingNotProgressing", {STEP: "12x20 8x10 12x70"}, None),
    Case(
        "no node has room",
        "AutoLLMPodsWaiting",
        {WAITING: "3x100"},
        "3 train Jobs of run team-a/bot have waited for a pod to run for 30 minutes.",
        labels={"namespace": "team-a", "run": "bot", "task": "train"},
    ),
    Case("pods wait a quarter of an hour", "AutoLLMPodsWaiting", {WAITING: "0x44 3x50"}, None),
    Case(
        "the bucket has been away for 50 minutes",
        "AutoLLMServerAway",
        {AWAY: "_x10 1 2 2 3x3 4x5 5x10 6x11 7x11 8x30"},
        "The train pods of run team-a/bot have found no answer for half an hour: 8 have ended.",
        labels={"namespace": "team-a", "run": "bot", "task": "train"},
    ),
    Case("it was away for five minutes, for twelve pods", "AutoLLMServerAway", {AWAY: "_x20 1 3 9 12x100"}, None, at="50m"),
    Case("it is back", "AutoLLMServerAway", {AWAY: "_x10 1 2 3 4 5x10 6x11 7x60"}, None),
    Case(
        "a quota is in the way",
        "AutoLLMRunStalled",
        {STALLED: "1x100", NO_SUCCESS: "0x100"},
        "Run team-a/bot cannot go on before somebody moves something out of its way.",
    ),
    Case("the run goes on", "AutoLLMRunStalled", {STALLED: "0x100"}, None),
    Case("it failed, which is told already", "AutoLLMRunStalled", {STALLED: "1x100", NO_SUCCESS: "1x100"}, None),
    Case("a training failed", "AutoLLMRunFailed", {STALLED: "1x100", NO_SUCCESS: "1x100"}, "Run team-a/bot has failed."),
    Case("a quota is in the way", "AutoLLMRunFailed", {STALLED: "1x100", NO_SUCCESS: "0x100"}, None),
    Case("it is under way", "AutoLLMRunFailed", {STALLED: "0x100", NO_SUCCESS: "0x100"}, None),
    Case(
        "it is gone",
        "AutoLLMOperatorDown",
        {'autollm_build_info{version="1"}': "1x40 stale"},
        "No operator of AutoLLM is scraped.",
        labels={},
    ),
    Case("one of two replicas is there", "AutoLLMOperatorDown", {'autollm_build_info{version="1", pod="b"}': "1x100"}, None),
    Case(
        "the API server does not answer",
        "AutoLLMQueueOld",
        {"autollm_queue_oldest_seconds": "0x40 60+60x60"},
        "An object has waited for 20m 0s to be looked at.",
        labels={},
    ),
    Case("the queue is short", "AutoLLMQueueOld", {"autollm_queue_oldest_seconds": "5x100"}, None),
    Case(
        "a right is missing",
        "AutoLLMReconcileErrors",
        {ERRORS % "Forbidden": "0+30x100"},
        "Looking at objects of kind AutoLLMRun fails 0.5 times a second: Forbidden.",
        labels={"kind": "AutoLLMRun", "reason": "Forbidden"},
    ),
    Case("conflicts now and then", "AutoLLMReconcileErrors", {ERRORS % "Conflict": "0+3x100"}, None),
    Case(
        "a bug shows",
        "AutoLLMUnexpectedError",
        {ERRORS % "Unexpected": "0+1x100"},
        "The operator has a bug that objects of kind AutoLLMRun bring to light.",
        labels={"kind": "AutoLLMRun"},
    ),
    Case("errors of other reasons", "AutoLLMUnexpectedError", {ERRORS % "Forbidden": "0+30x100"}, None),
    Case(
        "the optimiser times out",
        "AutoLLMSuggesterFallingBack",
        {SUGGESTED % "true": "0+3x100", SUGGESTED % "false": "0+1x100"},
        "75% of the candidates of the last half hour are random ones.",
        labels={},
    ),
    Case("once in a while", "AutoLLMSuggesterFallingBack", {SUGGESTED % "true": "0+1x100", SUGGESTED % "false": "0+9x100"}, None),
    Case("nothing is suggested", "AutoLLMSuggesterFallingBack", {SUGGESTED % "true": "7x100", SUGGESTED % "false": "9x100"}, None),
]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)


def as_test(case: Case) -> dict[str, Any]:
    """Return the case as promtool's own form: an alert is expected with all its labels and annotations."""
    rule = ALERTS[case.alert]
    annotations = {**rule["annotations"], "summary": case.summary}
    fired = [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}] if case.summary is not None else []
    return {
        "name": f"{case.alert}: {case.name}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": fired}],
    }


def test_the_rules_are_well_formed() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.name}".replace(" ", "-"))
def test_an_alert(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "tests.yaml"
    # An alert reads what the recording group wrote; in no order of their own, it would now and then see the minute before.
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "group_eval_order": ORDER, "tests": [as_test(case)]}
    path.write_text(yaml.safe_dump(document))
    tested = promtool("test", "rules", str(path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("down", ["first", "second"])
def test_of_two_releases_each_misses_its_own_operator(down: str, tmp_path: Path) -> None:
    """With the labels that the Prometheus operator gives what a ServiceMonitor finds: namespace and service of its target."""
    build = 'autollm_build_info{{version="1", namespace="{0}", service="autollm", pod="p", job="autollm"}}'
    seen = [{"series": build.format(name), "values": "1x20 stale" if name == down else "1x100"} for name in ("first", "second")]
    labels = {"severity": "critical", "namespace": down, "service": "autollm"}
    summary = f"No operator of AutoLLM is scraped in namespace {down}."
    missed = {"exp_labels": labels, "exp_annotations": {**ALERTS["AutoLLMOperatorDown"]["annotations"], "summary": summary}}
    for name in ("first", "second"):
        values = {"metrics": {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True}}}
        (rules,) = of_kind(render(values, namespace=name), "PrometheusRule")
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]))
        alert = {"eval_time": "1h", "alertname": "AutoLLMOperatorDown", "exp_alerts": [missed] if name == down else []}
        test = {"interval": "1m", "input_series": seen, "alert_rule_test": [alert]}
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
        tested = promtool("test", "rules", str(tmp_path / "tests.yaml"))
        assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    assert {case.alert for case in CASES if case.summary} == set(ALERTS)
    assert {case.alert for case in CASES if not case.summary} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_to_do(alert: str) -> None:
    annotations = ALERTS[alert]["annotations"]
    assert ALERTS[alert]["labels"]["severity"] in {"warning", "critical"}
    assert annotations["description"].endswith((".", "…"))
    assert annotations["runbook_url"] == f"docs/how-to/monitoring.md#{alert.lower()}"
    assert f"\n#### {alert}\n" in RUNBOOK.read_text()
