"""The chart installs the CRDs of this repository, as they are, and leaves them behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from support.chart import of_kind, render

CRDS = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))]
KEEP = {"helm.sh/resource-policy": "keep"}


def installed(**crds: bool) -> list[dict[str, Any]]:
    found = of_kind(render({"crds": crds}), "CustomResourceDefinition")
    return sorted(found, key=lambda crd: str(crd["metadata"]["name"]))


def test_they_equal_those_of_the_repository_and_are_kept() -> None:
    assert len(CRDS) == 3
    assert installed() == [crd | {"metadata": crd["metadata"] | {"annotations": KEEP}} for crd in CRDS]


def test_they_go_with_the_release_where_that_is_asked_for() -> None:
    assert installed(keep=False) == CRDS


def test_somebody_else_may_install_them() -> None:
    assert installed(enabled=False) == []
