"""What the Dockerfiles promise: pinned, without root, the same for the same sources, and nothing of the machine in them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from support.dockerfile import ROOT, Instruction, instructions

FILES = {name: ROOT / "images" / name / "Dockerfile" for name in ("operator", "runtime")}


@pytest.fixture(params=FILES, name="image")
def one(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def values(image: str, keyword: str, stage: int | None = None) -> list[str]:
    found: list[Instruction] = instructions(FILES[image])
    return [one.value for one in found if one.keyword == keyword and stage in (None, one.stage)]


def test_the_base_has_to_be_named_and_nothing_else_is_taken_from_elsewhere(image: str) -> None:
    assert values(image, "ARG", -1) == ["PYTHON_IMAGE"]  # without a default: a build without a digest in mind fails
    assert {value.split()[0] for value in values(image, "FROM")} == {"${PYTHON_IMAGE}"}
    assert values(image, "ADD") == []
    assert not [command for command in values(image, "RUN") if re.search(r"curl|wget|apt|git ", command)]


def test_everything_that_is_installed_is_locked_by_hash(image: str) -> None:
    installs = [command for command in values(image, "RUN") if " install " in command]
    assert len(installs) == 3
    for command in installs:
        assert ("--require-hashes" in command and "--only-binary :all:" in command) or "--no-index" in command, command
        assert "--no-deps" in command
    for file in (ROOT / "images" / "build-requirements.txt", ROOT / "images" / image / "requirements.txt"):
        assert not re.search(r"^[^\s#][^\n]*[^\\]$", file.read_text(), re.MULTILINE), "a requirement without a hash"


def test_it_runs_as_a_user_by_number_and_starts_its_program(image: str) -> None:
    assert values(image, "USER") == ["65532:65532"]
    assert values(image, "ENTRYPOINT", 1) == [f'["autollm-{image}"]']
    commands = [one.keyword for one in instructions(FILES[image]) if one.stage == 1]
    assert commands.index("USER") > max(place for place, keyword in enumerate(commands) if keyword in ("RUN", "COPY"))


def test_equal_sources_give_equal_layers(image: str) -> None:
    run = values(image, "RUN", 0)
    assert any("touch" in command and "SOURCE_DATE_EPOCH" in command for command in run)
    assert any("compileall" in command and "unchecked-hash" in command for command in run)
    assert all("--no-compile" in command for command in run if "/opt/autollm" in command and " install " in command)


def test_it_says_what_it_is(image: str) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(values(image, "LABEL"))))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels.keys() == {"title", "description", "licenses", "version", "revision"}
    assert (labels["title"], labels["licenses"]) == (f"autollm-{image}", project["license"])
    assert f"VERSION={project['version']}" in values(image, "ARG", 1)


def test_chart_makefile_and_package_have_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((ROOT / "charts" / "autollm" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"\nVERSION := {version}\n" in (ROOT / "Makefile").read_text()


def test_both_images_are_built_in_the_same_steps() -> None:
    def steps(image: str) -> list[str]:
        return [one.value.replace(f"images/{image}/", "images/IMAGE/") for one in instructions(FILES[image]) if one.stage == 0]

    assert steps("operator") == steps("runtime")


def test_the_context_has_what_is_copied_and_no_more(image: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {file for value in values(image, "COPY", 0) for file in value.split()[:-1]}
    assert copied - {f"images/{image}/requirements.txt"} == allowed - {"images/*/requirements.txt"}
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


def test_the_operator_gets_no_pytorch_and_everything_at_the_tested_versions() -> None:
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ ;]+)", file.read_text(), re.MULTILINE))

    locked, operator, runtime = (
        pins(ROOT / name) for name in ("requirements.lock", "images/operator/requirements.txt", "images/runtime/requirements.txt")
    )
    assert operator <= locked
    assert runtime <= locked
    names = {pin.partition("==")[0] for pin in operator}
    assert not names & {"torch", "transformers", "triton", "peft", "trl"}
    assert not {name for name in names if name.startswith("nvidia")}
    assert "torch" in {pin.partition("==")[0] for pin in runtime}


def test_a_pod_that_asks_for_no_gpu_sees_none() -> None:
    assert any("NVIDIA_VISIBLE_DEVICES=void" in value for value in values("runtime", "ENV", 1))
