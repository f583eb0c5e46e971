"""The program with all of Kubernetes in it, built from the Go module beside this file; `python -m cluster.binary` only builds it."""

from __future__ import annotations

import hashlib
import platform
import re
from pathlib import Path

from support.go import built

MODULE = Path(__file__).parent / "kubernetes"
_STAMPS = "k8s.io/component-base/version"
_NOTICE = "The tests' Kubernetes is built from source; this takes five minutes once on two cores, and 2.5 GiB."


def program() -> Path:
    """The program; its first argument says which part of Kubernetes runs."""
    inputs = hashlib.sha256(platform.machine().encode())
    for path in sorted(MODULE.iterdir()):
        inputs.update(path.name.encode() + b"\0" + path.read_bytes())
    return built("kubernetes", f"{version()}-{inputs.hexdigest()[:12]}", _command, folder=MODULE, notice=_NOTICE)


def version() -> str:
    """The version of Kubernetes, such as v1.36.3."""
    found = re.search(r"^\tk8s\.io/kubernetes (v\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{MODULE / 'go.mod'} does not require k8s.io/kubernetes")
    return found.group(1)


def _command(go: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    major, minor, _ = version().lstrip("v").split(".")
    # Without these the API server calls itself v0.0.0, and kubectl and the kubelet refuse to talk to it.
    stamps = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z"}
    flags = " ".join(["-s", "-w", *(f"-X {_STAMPS}.{name}={value}" for name, value in stamps.items())])
    return [str(go), "build", "-trimpath", "-ldflags", flags, "-o", str(folder / "kubernetes"), "."], {"GOFLAGS": "-buildvcs=false -p=2"}


if __name__ == "__main__":
    program()
