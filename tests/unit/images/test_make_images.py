"""What `make images` asks Docker for: the images are pushed where that is said, and nowhere else."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.dockerfile import ROOT, instructions
from support.pages import HOW_TO, blocks, sections

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


def run(docker: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "PUSH", "REGISTRY", "VERSION", "PLATFORM", "BUILD_ARGS")
    }
    environment["PATH"] = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def make(docker: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    return run(docker, "make", "images", *variables)


def builds(docker: Path) -> list[list[str]]:
    """Return the command line of every build."""
    return [shlex.split(line) for line in (docker.parents[1] / "asked").read_text().splitlines()]


def outputs(docker: Path) -> list[dict[str, str]]:
    """Return the --output of every build."""
    return [dict(option.split("=", 1) for option in build[build.index("--output") + 1].split(",")) for build in builds(docker)]


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


@pytest.mark.parametrize(
    ("variables", "version", "platform"),
    [([], "0.1.0", "linux/amd64"), (["VERSION=0.1.0-5a19e45", "PLATFORM=linux/arm64"], "0.1.0-5a19e45", "linux/arm64")],
)
def test_the_version_is_tag_and_label_and_the_platform_is_not_the_machines(
    docker: Path, variables: list[str], version: str, platform: str
) -> None:
    assert make(docker, f"PYTHON_IMAGE={BASE}", *variables).returncode == 0
    assert [output["name"] for output in outputs(docker)] == [f"autollm-operator:{version}", f"autollm-runtime:{version}"]
    for build in builds(docker):
        assert f"VERSION={version}" in build
        assert build[build.index("--platform") + 1] == platform


def test_a_mirror_is_told_to_the_build_alone(docker: Path) -> None:
    mirror = "PIP_INDEX_URL=https://pypi.example.org/simple"
    assert make(docker, f"PYTHON_IMAGE={BASE}", f"BUILD_ARGS=--build-arg {mirror}").returncode == 0
    assert all(mirror in build for build in builds(docker))
    for image in ("operator", "runtime"):
        found = instructions(ROOT / "images" / image / "Dockerfile")
        assert [one.stage for one in found if "PIP_INDEX_URL" in one.value] == [0]


def test_the_images_of_an_upgrade_have_other_names_than_those_before(docker: Path) -> None:
    """Under a name that they have already, nodes would not pull them, nor would the operator's pod be replaced."""
    (docker.parent / "git").write_text("#!/bin/sh\necho 5a19e45\n")
    (docker.parent / "git").chmod(0o755)
    (build,) = [line for block in blocks(HOW_TO / "install.md", "console") for line in block.splitlines() if "make images" in line]
    done = run(docker, "sh", "-euc", build.removeprefix("$ ").replace("sha256:DIGEST", BASE.partition("@")[2]))
    assert done.returncode == 0, done.stderr
    built = [output["name"].rpartition(":")[2] for output in outputs(docker)]
    (upgrade,) = sections(HOW_TO / "install.md")["Upgrade"]
    assert re.findall(r"(operator|workers)\.image\.tag=([^ ,]+)", upgrade) == list(zip(("operator", "workers"), built, strict=True))
    assert {output["push"] for output in outputs(docker)} == {"true"}
