"""helm as an administrator uses it on a cluster: a release named autollm in one namespace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.helm import helm
from support.chart import CHART


@dataclass(frozen=True)
class Release:
    """A release of the chart; every verb raises RuntimeError with what helm said where it fails."""

    kubeconfig: Path
    namespace: str

    def install(self, values: Mapping[str, Any] | None = None, *, chart: Path = CHART) -> str:
        """Install the chart and return what helm says to the user."""
        return self._run("install", "autollm", str(chart), "--values", "-", values=values)

    def upgrade(self, values: Mapping[str, Any] | None = None, *, chart: Path = CHART) -> str:
        """Upgrade the release to a chart, with these values beside those that it was given before."""
        return self._run("upgrade", "autollm", str(chart), "--reset-then-reuse-values", "--values", "-", values=values)

    def uninstall(self) -> str:
        """Remove what the release made, but for what it is to keep."""
        return self._run("uninstall", "autollm", "--wait")

    def _run(self, verb: str, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        command = [str(helm()), verb, *arguments, "--namespace", self.namespace, "--kubeconfig", str(self.kubeconfig)]
        done = subprocess.run(command, input=json.dumps(dict(values or {})), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"helm {verb}: {done.stderr.strip()}")
        return done.stdout
