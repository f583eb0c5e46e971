"""The operator's and the runtime's images: this machine's Python as their base, and then what their Dockerfiles say.

PyTorch is gigabytes: the runtime finds its libraries in LIBRARIES, where pods mount this environment as a read-only volume.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from cluster.images import NEVER, Layer, busybox, write_image
from support.dockerfile import build, settings

ROOT = Path(__file__).parents[2]
PACKAGES = {"autollm": ROOT, "autollm_operator": ROOT / "operator", "autollm_runtime": ROOT / "runtime"}
OPERATOR, RUNTIME = "localhost/autollm-operator:tests", "localhost/autollm-runtime:tests"
LIBRARIES = "/site-packages"
"""Where the runtime finds its libraries; the name tells dill that they are libraries, which it does not pickle."""

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

_DOCKERFILES = ROOT / "images"
_PREFIX, _CODE = "/opt/autollm", "/app"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_NOT_NEEDED = re.compile(
    rf"/(test|tests|idlelib|ensurepip|lib2to3|turtledemo|tkinter|site-packages|dist-packages|config-[^/]*)(/|$)|{NEVER}"
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
    """Write the operator's image: what its Dockerfile's steps install, but for bytecode, and what it sets."""
    prefix = build(_DOCKERFILES / "operator" / "Dockerfile", folder / "operator", until="compileall")
    layer = Layer(folder / "operator.layer")
    for program in (prefix / "bin").iterdir():
        place = f"{_PREFIX}/bin/{program.name}"
        if program.is_symlink():
            layer.link(place, str(program.resolve()))
        else:
            layer.text(place, program.read_text().replace(str(prefix), _PREFIX), mode=0o755)
    layer.add(prefix, _PREFIX)
    layers = [python, layer.close()]
    return _write(folder, "operator", OPERATOR, layers)


def runtime_image(folder: Path, python: Path) -> Path:
    """Write the runtime's image: what its Dockerfile sets, this checkout, and no libraries."""
    return _write(folder, "runtime", RUNTIME, [python, _runtime_layer(folder)], PYTHONPATH=f"{_CODE}:{LIBRARIES}")


def _write(folder: Path, name: str, image: str, layers: list[Path], **more: str) -> Path:
    told = settings(_DOCKERFILES / name / "Dockerfile", _PATH)
    return write_image(
        folder / f"{name}.tar",
        image,
        layers,
        entrypoint=told.entrypoint,
        environment=told.environment | more,
        user=told.user,
        folder=told.folder,
    )


def _runtime_layer(folder: Path) -> Path:
    layer = Layer(folder / "runtime.layer")
    for package, root in PACKAGES.items():
        layer.add(root / package, f"{_CODE}/{package}")
    for path in SITE_PACKAGES.glob("autollm-*.dist-info"):
        layer.add(path, f"{_CODE}/{path.name}")
    start = "import sys\nfrom autollm_runtime.cli import main\nsys.exit(main())\n"
    layer.text(f"{_PREFIX}/bin/autollm-runtime", f"#!{Path(sys.executable).resolve()}\n{start}", mode=0o755)
    return layer.close()


def _loader_cache() -> str:
    return subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout


def _word_size() -> str:
    return "x86-64" if sysconfig.get_platform().endswith("x86_64") else "AArch64"
