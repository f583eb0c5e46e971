"""The chart as helm renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.helm import helm

CHART = Path(__file__).parents[2] / "charts" / "autollm"
Document = dict[str, Any]


def render(values: Mapping[str, Any] | None = None, *, namespace: str = "team-a", release: str = "autollm") -> list[Document]:
    """Return the objects of a release; raises CalledProcessError where helm refuses the values."""
    command = [str(helm()), "template", release, str(CHART), "--namespace", namespace, "--values", "-"]
    output = subprocess.run(command, input=json.dumps(dict(values or {})), check=True, capture_output=True, text=True).stdout
    return [document for document in yaml.load_all(output, yaml.CSafeLoader) if document]  # the CRDs take the other a second


def refusal(values: Mapping[str, Any]) -> str:
    """Return what helm says against these values; fails where it takes them."""
    try:
        render(values)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    raise AssertionError(f"helm takes {values}")


def of_kind(documents: list[Document], kind: str, name: str | None = None) -> list[Document]:
    """Return the objects of a kind, or those of a name."""
    return [one for one in documents if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def pod_templates(documents: list[Document]) -> Iterator[Document]:
    """Yield the specification of every pod that these objects make."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield document["spec"]["template"]["spec"]
        elif document["kind"] == "CronJob":
            yield document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            yield document["spec"]
