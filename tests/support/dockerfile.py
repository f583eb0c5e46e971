"""Dockerfiles as far as tests read them, and their build stage carried out without a container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Instruction:
    """One instruction, in a stage; the stages are counted from 0, and what stands before the first has -1."""

    stage: int
    keyword: str
    value: str


def instructions(dockerfile: Path) -> list[Instruction]:
    """Return the instructions of a Dockerfile, each on one line, without comments."""
    found: list[Instruction] = []
    stage = -1
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    for line in _CONTINUED.sub("", "\n".join(lines)).splitlines():
        if line.strip():
            keyword, _, value = line.partition(" ")
            stage += keyword == "FROM"
            found.append(Instruction(stage, keyword, value.strip()))
    return found


@dataclass(frozen=True)
class Settings:
    """What an image tells the container runtime."""

    environment: dict[str, str]
    user: str
    entrypoint: list[str]
    folder: str


def settings(dockerfile: Path, path: str) -> Settings:
    """Return what the last stage sets; `path` is the PATH of its base."""
    found = instructions(dockerfile)
    last = [one for one in found if one.stage == found[-1].stage]
    environment = dict(pair.split("=", 1) for one in last if one.keyword == "ENV" for pair in one.value.split())
    value = {one.keyword: one.value for one in last}
    environment["PATH"] = environment["PATH"].replace("$PATH", path)
    return Settings(environment, value["USER"], json.loads(value["ENTRYPOINT"]), value["WORKDIR"])


def build(dockerfile: Path, root: Path, *, until: str = "") -> Path:
    """Carry out the first stage below `root` in place of /, and return what it leaves at /opt/autollm.

    Every command runs as it is written, but uv stands in for pip, which would load everything anew. The stage ends before the first
    command that contains `until`.
    """
    source = root / "source"
    source.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = kept | {"SOURCE_DATE_EPOCH": "0", "UV_LINK_MODE": "hardlink" if until else "copy"}  # the last steps change files in place
    for instruction in instructions(dockerfile):
        if instruction.stage != 0:
            continue
        if instruction.keyword == "COPY":
            *files, target = instruction.value.split()
            for file in files:
                _copy(ROOT / file, source / target)
        elif instruction.keyword == "RUN":
            if until and until in instruction.value:
                break
            command = re.sub(r"(?<![\w.])/(opt|wheels|source)\b", rf"{root}/\1", instruction.value)
            command = re.sub(r"^python\b", sys.executable, command)
            done = subprocess.run(["sh", "-euc", command], cwd=source, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"RUN {instruction.value}: {done.stderr[-2000:]}")
            if (pip := root / "opt" / "build" / "bin" / "pip").exists():
                _put_uv_in_place_of(pip)
    return root / "opt" / "autollm"


def _copy(file: Path, target: Path) -> None:
    if file.is_dir():
        shutil.copytree(file, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copy(file, target)


def _uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def _put_uv_in_place_of(pip: Path) -> None:
    """Write a program that takes the options of pip that the Dockerfiles use."""
    python = pip.with_name("python")
    pip.unlink()
    pip.write_text(
        f"""#!/bin/sh
set -eu
target={python}
if [ "$1" = --python ]; then target=$2; shift 2; fi
verb=$1; shift
case $verb in
install) exec {_uv()} pip install --quiet --python "$target" "$@" ;;
wheel)
  [ "$1 $2 $3" = "--no-deps --no-build-isolation --wheel-dir" ]
  exec {_uv()} build --quiet --python "$target" --wheel --no-build-isolation --out-dir "$4" "$5" ;;
esac
exit 64
"""
    )
    pip.chmod(0o755)
