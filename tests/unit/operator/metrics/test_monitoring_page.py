"""The page on monitoring tells every metric as the operator does, and the rules and the dashboard ask for no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from autollm_operator.cache.cache import Cache
from autollm_operator.metrics.exposition import build_registry, expose
from autollm_operator.metrics.series import RUN_SERIES

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "how-to" / "monitoring.md"
FILES = ROOT / "charts" / "autollm" / "files"
ROW = re.compile(r"^\| `(?P<name>[a-z_]+)(?:\{(?P<labels>[a-z, ]+)\})?` \| (?P<type>[a-z]+) \| (?P<help>.+) \|$", re.MULTILINE)
ASKED = re.compile(r"\bautollm_[a-z_]+")
PARTS = re.compile(r"_(bucket|sum|count)$")


class Queue:
    def depth(self) -> int:
        return 0

    def oldest_age(self) -> float:
        return 0.0


def exposed() -> dict[str, tuple[str, str]]:
    """Return type and meaning of every metric of ours that an operator exposes, by the name that its series have."""
    text = expose(build_registry(Cache(), Queue()), "")[0].decode()
    families = {family.name: family for family in text_string_to_metric_families(text) if family.name.startswith("autollm_")}
    names = {name: f"{name}_total" if family.type == "counter" else name for name, family in families.items()}
    return {names[name]: (family.type, family.documentation) for name, family in families.items()}


def test_every_metric_stands_on_the_page_in_the_operators_own_words() -> None:
    rows = {row["name"]: (row["type"], row["help"]) for row in ROW.finditer(PAGE.read_text())}
    assert rows == exposed()


def test_the_page_names_the_labels_of_every_series_of_runs() -> None:
    labels = {row["name"]: tuple(row["labels"].split(", ")) if row["labels"] else () for row in ROW.finditer(PAGE.read_text())}
    assert {series.name: labels[series.name] for series in RUN_SERIES} == {series.name: series.labels for series in RUN_SERIES}


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((FILES / "rules.yaml").read_text())
    asked = {name for group in rules["groups"] for rule in group["rules"] for name in ASKED.findall(rule["expr"])}
    assert {PARTS.sub("", name) for name in asked} <= exposed().keys()
    assert len(asked) > 10


def test_the_dashboard_asks_for_metrics_that_there_are_and_leaves_out_few() -> None:
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel.get("targets", ()) for name in ASKED.findall(target["expr"])}
    names = {PARTS.sub("", name) for name in asked}
    assert names <= exposed().keys()
    assert len(names) >= 24
