"""The operator's and the runtime's images, made of this environment: its Python, this checkout's packages, and what they depend on.

PyTorch is gigabytes: the runtime finds its libraries in LIBRARIES, where pods mount this environment as a read-only volume.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

from cluster.images import Layer, busybox, write_image

ROOT = Path(__file__).parents[2]
PACKAGES = {"autollm": ROOT, "autollm_operator": ROOT / "operator", "autollm_runtime": ROOT / "runtime"}
OPERATOR, RUNTIME = "localhost/autollm-operator:tests", "localhost/autollm-runtime:tests"
LIBRARIES = "/site-packages"
"""Where the runtime finds its libraries; the name tells dill that they are libraries, which it does not pickle."""

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

_CODE = "/app"
_DEPENDENCIES = "/dependencies"
_NOT_NEEDED = re.compile(
    r"/(__pycache__|test|tests|idlelib|ensurepip|lib2to3|turtledemo|tkinter|site-packages|dist-packages|config-[^/]*)(/|$)|\.a$"
)
# Of the C library and the compiler: PyTorch is linked against them, and is not here to be asked.
_SYSTEM = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libgomp.so.1")


def python_layer(folder: Path) -> Path:
    """Write the layer with Python and a shell."""
    layer = Layer(folder / "python.layer")
    busybox(layer)
    interpreter = Path(sys.executable).resolve()
    layer.add(interpreter)
    layer.link("/usr/local/bin/python", str(interpreter))
    for kind in ("stdlib", "platstdlib"):
        layer.add(Path(sysconfig.get_path(kind, vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})), without=_NOT_NEEDED)
    layer.add_libraries()
    known = dict(line.strip().split(" => ", 1) for line in _loader_cache().splitlines() if " => " in line)
    for label, path in known.items():
        if label.split(" ", 1)[0] in _SYSTEM and _word_size() in label:
            layer.add(Path(path))
    return layer.close()


def operator_image(folder: Path, python: Path) -> Path:
    """Write the operator's image: its dependencies are in it, and PyTorch is not."""
    layer = Layer(folder / "operator.layer")
    for part in dependencies("autollm", {"operator"}):
        for file in part.files or ():
            path = Path(str(part.locate_file(file)))
            if file.parts[0] != ".." and "__pycache__" not in file.parts and path.is_file():
                layer.add(path, f"{_DEPENDENCIES}/{file}")
    settings = {"PYTHONPATH": f"{_CODE}:{_DEPENDENCIES}", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}  # the image's
    layers = [python, layer.close(), _code_layer(folder, "autollm-operator", "autollm_operator.main:main")]
    return write_image(folder / "operator.tar", OPERATOR, layers, entrypoint=["autollm-operator"], environment=settings, user="65532:65532")


def runtime_image(folder: Path, python: Path) -> Path:
    """Write the runtime's image."""
    settings = {"PYTHONPATH": f"{_CODE}:{LIBRARIES}", "PYTHONDONTWRITEBYTECODE": "1"}
    layers = [python, _code_layer(folder, "autollm-runtime", "autollm_runtime.cli:main")]
    return write_image(folder / "runtime.tar", RUNTIME, layers, environment=settings, user="65532:65532")


def dependencies(name: str, extras: Iterable[str] = ()) -> Iterator[Distribution]:
    """Yield the installed distributions that one needs, with the parts of it that are asked for, but not itself."""
    waiting = [(name, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    yielded = {name}
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        found = distribution(asked[0])
        if asked[0] not in yielded:
            yielded.add(asked[0])
            yield found
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate(_environment(extra)) for extra in ("", *asked[1])):
                waiting.append((re.sub(r"[-_.]+", "-", needed.name).lower(), frozenset(needed.extras)))


def _code_layer(folder: Path, command: str, place: str) -> Path:
    layer = Layer(folder / f"{command}.layer")
    for package, root in PACKAGES.items():
        layer.add(root / package, f"{_CODE}/{package}")
    for path in SITE_PACKAGES.glob("autollm-*.dist-info"):
        layer.add(path, f"{_CODE}/{path.name}")
    module, function = place.split(":")
    script = f"#!{Path(sys.executable).resolve()}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    layer.text(f"/usr/local/bin/{command}", script, mode=0o755)
    return layer.close()


def _environment(extra: str) -> dict[str, str]:
    return {**{key: str(value) for key, value in default_environment().items()}, "extra": extra}


def _loader_cache() -> str:
    return subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout


def _word_size() -> str:
    return "x86-64" if sysconfig.get_platform().endswith("x86_64") else "AArch64"
