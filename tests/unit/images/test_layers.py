"""The layers of the tests' images: the same for the same files, and with the bytecode that this machine has."""

from __future__ import annotations

import py_compile
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cluster.images import Layer


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with its bytecode, and a file of bytecode that another process is about to write."""
    folder = tmp_path / "compiled"
    folder.mkdir()
    (folder / "__init__.py").write_text("ANSWER = 42\n")
    compiled = py_compile.compile(str(folder / "__init__.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    Path(f"{compiled}.140234").write_bytes(b"half of it")
    return folder


def layer(path: Path, package: Path) -> Path:
    written = Layer(path)
    written.add(package, "/app/compiled")
    return written.close()


def test_the_same_files_give_the_same_layer(tmp_path: Path, package: Path) -> None:
    first, second = (layer(tmp_path / name, package) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_python_takes_the_bytecode_that_is_in_it(tmp_path: Path, package: Path) -> None:
    with tarfile.open(layer(tmp_path / "layer", package)) as written:
        written.extractall(tmp_path / "root")
        assert not [name for name in written.getnames() if name.endswith(".140234")]
    command = [sys.executable, "-vBc", "import compiled"]
    done = subprocess.run(command, cwd=tmp_path / "root" / "app", capture_output=True, text=True, check=True)
    assert re.search(r"compiled/__pycache__/__init__\.\S+\.pyc matches ", done.stderr)
