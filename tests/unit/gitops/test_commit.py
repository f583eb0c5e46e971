"""The page's commit adds a source, and the planner trains that source alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from autollm.resources.run import AutoLLMRun
from cluster.helm import kubectl
from support.world import World

ROOT = Path(__file__).parents[3]
REPOSITORY = ROOT / "examples" / "gitops" / "repository"


def applied(repository: Path) -> AutoLLMRun:
    """What Argo CD or Flux makes of the repository."""
    built = subprocess.run([str(kubectl()), "kustomize", str(repository / "team-a")], check=True, capture_output=True, text=True).stdout
    document: dict[str, Any] = yaml.safe_load(built)
    document["spec"]["search"] = {"trials": 4, "optimizer": {"random": {}}}  # what is searched is beside the point here
    return AutoLLMRun.model_validate(document)


def test_a_commit_adds_a_source_and_only_that_is_trained(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(REPOSITORY, repository)
    run = applied(repository)
    assert run.metadata.namespace == "team-a"
    world = World(run)
    world.settle()
    before, done = dict(world.trainings), len(world.done)
    (change,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "how-to" / "gitops.md").read_text(), re.DOTALL)
    subprocess.run(["git", "apply", "-"], cwd=repository, input=change, check=True, text=True)
    world.change(applied(repository).spec)
    world.settle()

    (new,) = [training for name, training in world.trainings.items() if name not in before]
    assert new.spec.delta == "tickets/sft"
    trained = [name for name in world.done[done:] if name.startswith("sha256:")]
    assert trained == [new.spec.key]
    assert world.run.status is not None
    assert world.run.status.deltas is not None
    assert (world.run.status.deltas.total, world.run.status.deltas.ready) == (3, 3)
