"""The values that the installation page shows are good, and its settings are those of the operator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import CHART, render

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "install.md"
SHOWN = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


@pytest.mark.parametrize("values", [one for one in SHOWN if "kind" not in one], ids=lambda values: "+".join(values))
def test_values_are_taken(values: dict[str, Any]) -> None:
    assert render(values)


def test_keyless_access_is_promised_where_the_s3_client_knows_how() -> None:
    """Of the clouds that give pods an identity, boto3 knows Amazon's alone."""
    for text in (PAGE.read_text(), (CHART / "values.yaml").read_text()):
        named = set(re.findall(r"(eks\.amazonaws\.com|iam\.gke\.io|azure\.workload\.identity)/", text))
        assert named == {"eks.amazonaws.com"}


def test_there_are_some_of_each() -> None:
    assert len([one for one in SHOWN if "kind" not in one]) >= 6
    assert [one["kind"] for one in SHOWN if "kind" in one] == ["Kustomization"]
