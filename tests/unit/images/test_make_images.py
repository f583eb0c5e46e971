"""What `make images` asks Docker for: the images are pushed where that is said, and nowhere else."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from support.dockerfile import ROOT

BASE = "python:3.11-slim-bookworm@sha256:" + "0" * 64
REGISTRY = "registry.example.org/ml/"


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A `docker` that writes down what it is asked for, each time in a line, and does nothing."""
    asked, program = tmp_path / "asked", tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(asked))}\n')
    program.chmod(0o755)
    return program


def make(docker: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PUSH", "REGISTRY")}
    environment["PATH"] = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(["make", "images", *variables], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def outputs(docker: Path) -> list[dict[str, str]]:
    """Return the --output of every build."""
    builds = [shlex.split(line) for line in (docker.parents[1] / "asked").read_text().splitlines()]
    return [dict(option.split("=", 1) for option in build[build.index("--output") + 1].split(",")) for build in builds]


@pytest.mark.parametrize(("variables", "pushed"), [([], "false"), (["PUSH=1"], "true")])
def test_both_images_are_built_and_pushed_where_that_is_asked_for(docker: Path, variables: list[str], pushed: str) -> None:
    done = make(docker, f"PYTHON_IMAGE={BASE}", f"REGISTRY={REGISTRY}", *variables)
    assert done.returncode == 0, done.stderr
    operator, runtime = outputs(docker)
    assert operator["name"].startswith(f"{REGISTRY}autollm-operator:")
    assert runtime["name"].startswith(f"{REGISTRY}autollm-runtime:")
    assert operator["push"] == runtime["push"] == pushed
    assert {operator["rewrite-timestamp"], runtime["rewrite-timestamp"]} == {"true"}


@pytest.mark.parametrize(
    ("variables", "said"), [([], "Set PYTHON_IMAGE to"), ([f"PYTHON_IMAGE={BASE}", "PUSH=1"], "Set REGISTRY to where")]
)
def test_what_is_missing_is_asked_for_before_anything_is_built(docker: Path, variables: list[str], said: str) -> None:
    done = make(docker, *variables)
    assert done.returncode != 0
    assert said in done.stdout
    assert not (docker.parents[1] / "asked").exists()
