"""What the page on monitoring tells people to run does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.monitoring_page import Asked
from support.chart import of_kind, render

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
RULES = ROOT / "charts" / "autollm" / "files" / "rules.yaml"


def commands(language: str) -> list[str]:
    """Return the page's blocks of a language, lines that go on joined."""
    return [block.replace("\\\n", " ") for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]


def command(program: str) -> list[str]:
    """Return the one command of the page that begins with a program's name."""
    (found,) = [line for block in commands("sh") for line in block.splitlines() if line.startswith(program)]
    return shlex.split(found)


def check(*arguments: str) -> None:
    done = subprocess.run(["promtool", "check", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def values_of(helm: list[str]) -> dict[str, Any]:
    """Return what a helm command sets, as values."""
    values: dict[str, Any] = {}
    for setting in (helm[index + 1] for index, word in enumerate(helm) if word == "--set"):
        path, _, text = setting.partition("=")
        *outer, last = path.split(".")
        place = values
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = yaml.safe_load(text)
    return values


def test_helm_makes_what_the_prometheus_operator_reads(tmp_path: Path) -> None:
    documents = render(values_of(command("helm")))
    (monitor,), (rules,) = of_kind(documents, "ServiceMonitor"), of_kind(documents, "PrometheusRule")
    assert monitor["metadata"]["labels"]["release"] == rules["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"][0]["honorLabels"] is True
    assert [group["name"] for group in rules["spec"]["groups"]] == [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    (service,) = of_kind(documents, "Service", "autollm")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]))
    check("rules", str(tmp_path / "rules.yaml"))


def test_runbooks_lead_to_where_the_project_is_read() -> None:
    address = "https://git.example.org/autollm/blob/main/"
    (rules,) = of_kind(render({"metrics": {"rules": {"enabled": True, "runbooks": address}}}), "PrometheusRule")
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert {alert["annotations"]["runbook_url"].partition("#")[0] for alert in alerts} == {f"{address}docs/how-to/monitoring.md"}


def test_grafanas_sidecar_finds_the_dashboard() -> None:
    setting = re.search(r"`--set (metrics\.dashboard\.enabled=true)`", PAGE)
    assert setting is not None
    documents = render(values_of(["--set", setting[1]]))
    (found,) = [document for document in of_kind(documents, "ConfigMap") if "grafana_dashboard" in document["metadata"].get("labels", {})]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = found["data"].values()
    assert yaml.safe_load(text) == yaml.safe_load((RULES.parent / "dashboard.json").read_text())


def test_prometheus_takes_the_job_and_the_rules(tmp_path: Path) -> None:
    (job,) = commands("yaml")
    (tmp_path / "prometheus.yaml").write_text(job)
    (tmp_path / "rules.yaml").write_text(RULES.read_text())
    check("config", str(tmp_path / "prometheus.yaml"))


def test_the_rules_are_checked_as_the_page_says() -> None:
    words = command("promtool")
    assert words[1:3] == ["check", "rules"]
    check("rules", str(ROOT / words[3]))


def test_the_page_of_plots_is_written(past: Asked, tmp_path: Path) -> None:
    program, script, _, page, *options = command("python")
    assert (program, options) == ("python", ["--hours", "6"])
    written = tmp_path / page
    run = [sys.executable, str(ROOT / script), past.server, str(written), *options, "--until", str(past.end)]
    subprocess.run(run, check=True, timeout=60)
    assert written.read_text().count("application/json") > 20


def test_the_page_of_plots_says_why_there_is_none(tmp_path: Path) -> None:
    run = [sys.executable, str(ROOT / "docs" / "monitoring_page.py"), "http://127.0.0.1:9", str(tmp_path / "page.html")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no Prometheus answers at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("setting", re.findall(r"`((?:operator|networkPolicy|metrics)\.[A-Za-z.]+)`", PAGE))
def test_the_chart_has_every_setting_that_the_page_names(setting: str) -> None:
    values: Any = yaml.safe_load((ROOT / "charts" / "autollm" / "values.yaml").read_text())
    for name in setting.split("."):
        assert name in values, f"the chart has no {setting}"
        values = values[name]
