"""What Prometheus and Grafana get: the files of the chart as they are, behind switches."""

from __future__ import annotations

import json

import yaml

from support.chart import CHART, Document, of_kind, render

ALL = {"metrics": {name: {"enabled": True} for name in ("service", "serviceMonitor", "rules", "dashboard")}}
OF_OTHERS = {"ServiceMonitor", "PrometheusRule"}


def only(documents: list[Document], kind: str, name: str | None = None) -> Document:
    (document,) = of_kind(documents, kind, name)
    return document


def test_nothing_of_other_operators_is_made_unasked() -> None:
    kinds = {one["kind"] for one in render()}
    assert not kinds & OF_OTHERS
    assert "Service" in kinds


def test_rules_and_dashboard_are_the_files() -> None:
    documents = render({"metrics": {"rules": {"enabled": True}, "dashboard": {"enabled": True}}})
    assert only(documents, "PrometheusRule")["spec"] == yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    dashboard = only(documents, "ConfigMap", "autollm-dashboard")
    assert json.loads(dashboard["data"]["autollm.json"]) == json.loads((CHART / "files" / "dashboard.json").read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_monitor_finds_the_service_and_the_service_the_operator() -> None:
    documents = render(ALL)
    monitor, service, deployment = (only(documents, kind) for kind in ("ServiceMonitor", "Service", "Deployment"))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["spec"]["endpoints"][0]["honorLabels"] is True  # else Prometheus puts the operator's namespace for the run's
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == template["spec"]["containers"][0]["ports"][0]["name"]


def test_labels_and_the_interval_are_chosen() -> None:
    labels = {"release": "prometheus"}
    metrics = {"serviceMonitor": {"enabled": True, "interval": "10s", "labels": labels}, "rules": {"enabled": True, "labels": labels}}
    documents = render({"metrics": metrics})
    assert only(documents, "ServiceMonitor")["spec"]["endpoints"][0]["interval"] == "10s"
    for kind in OF_OTHERS:
        assert labels.items() <= only(documents, kind)["metadata"]["labels"].items()
