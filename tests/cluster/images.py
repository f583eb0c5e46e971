"""Container images made of this machine's own files, without an engine: tar files in the OCI's form, the same for the same files.

Files keep their times, by which Python knows that bytecode beside them is theirs: a pod need not compile what this machine has compiled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
NEVER = r"\.a$|\.pyc\.\d+$"
"""What no image has: libraries to be linked with, and bytecode that another process writes at this moment."""


class Layer:
    """Files of an image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  # closed by `close`
        self._there: set[str] = set()
        self._programs: list[Path] = []

    def add(self, source: Path, place: str | None = None, *, without: re.Pattern[str] = re.compile(NEVER)) -> None:
        """Add a file, or a folder with what is in it but for paths that match `without`; in its own place unless one is given."""
        target = place or str(source)
        if not source.is_dir():
            self._add(source, target)
            return
        for folder, folders, files in os.walk(source):
            folders[:] = sorted(name for name in folders if not without.search(f"{folder}/{name}/"))
            for name in sorted(files):
                if not without.search(f"{folder}/{name}"):
                    self._add(Path(folder, name), f"{target}/{Path(folder, name).relative_to(source)}")

    def text(self, place: str, content: str, *, mode: int = 0o644) -> None:
        """Add a file with a text in it."""
        data = content.encode()
        entry = tarfile.TarInfo(place.strip("/"))
        entry.size, entry.mode = len(data), mode
        self._put(entry, io.BytesIO(data))

    def folder(self, place: str, *, mode: int = 0o755) -> None:
        """Add an empty folder."""
        entry = tarfile.TarInfo(place.strip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._put(entry)

    def link(self, place: str, to: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(place.strip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self._put(entry)

    def add_libraries(self) -> None:
        """Add the machine's shared libraries that the programs added so far need."""
        needed = {library for program in self._programs for library in _libraries(program)}
        for library in sorted(needed):
            self._add(Path(library), library)

    def close(self) -> Path:
        """Return the layer's file, which then is complete."""
        self._tar.close()
        return self.path

    def _add(self, source: Path, place: str) -> None:
        real = source.resolve()
        entry = tarfile.TarInfo(place.strip("/"))
        if entry.name in self._there:
            return
        with real.open("rb") as file:
            status = os.fstat(file.fileno())  # of what is read: another process may replace the file, bytecode above all
            entry.size, entry.mtime = status.st_size, int(status.st_mtime)
            entry.mode = 0o755 if os.access(real, os.X_OK) else 0o644
            if file.read(4) == b"\x7fELF":
                self._programs.append(real)
            file.seek(0)
            self._put(entry, file)

    def _put(self, entry: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        if entry.name in self._there:
            return
        self._there.add(entry.name)
        parent = str(Path(entry.name).parent)
        if parent != ".":
            self.folder(parent)
        self._tar.addfile(entry, content)


def write_image(
    path: Path,
    name: str,
    layers: Sequence[Path],
    *,
    command: Sequence[str] = (),
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    user: str = "",
    folder: str = "/",
) -> Path:
    """Write an image with a complete name, such as localhost/x:1, to a tar file and return it."""
    settings = {
        "Env": [f"{key}={value}" for key, value in ({"PATH": "/usr/local/bin:/usr/bin:/bin"} | dict(environment or {})).items()],
        "Cmd": list(command),
        "Entrypoint": list(entrypoint),
        "User": user,
        "WorkingDir": folder,
    }
    digests = {layer: _digest_of(layer) for layer in layers}
    config = json.dumps(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": list(digests.values())},
        }
    ).encode()
    blobs = [_described(_LAYER, digest, layer.stat().st_size) for layer, digest in digests.items()]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _described(_CONFIG, _digest(config), len(config)), "layers": blobs}
    ).encode()
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    described = _described(_MANIFEST, _digest(manifest), len(manifest)) | {"annotations": names}
    index = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    with tarfile.open(path, "w") as archive:
        for place, data in (("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)):
            _write(archive, place, io.BytesIO(data), len(data))
        for data in (config, manifest):
            _write(archive, _blob(_digest(data)), io.BytesIO(data), len(data))
        for layer, digest in digests.items():
            with layer.open("rb") as file:
                _write(archive, _blob(digest), file, layer.stat().st_size)
    return path


def busybox(layer: Layer) -> None:
    """Add a shell and its tools, and what programs expect of every system."""
    found = shutil.which("busybox")
    if found is None:
        raise RuntimeError("images need busybox: run `make node`, which installs Debian's package busybox-static.")
    layer.add(Path(found), "/bin/busybox")  # Debian's is linked statically
    for applet in subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            layer.link(f"/bin/{applet}", "busybox")
    layer.folder("/tmp", mode=0o1777)  # the image's
    for place in ("/proc", "/sys", "/dev", "/var/run"):
        layer.folder(place)
    layer.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65532:65532:nobody:/tmp:/bin/false\n")
    layer.text("/etc/group", "root:x:0:\nnobody:x:65532:\n")


def pause_image(path: Path) -> Path:
    """Write the image of the process that keeps a pod's network: it only sleeps."""
    layer = Layer(path.with_suffix(".layer"))
    busybox(layer)
    return write_image(path, "localhost/pause:1", [layer.close()], entrypoint=["/bin/busybox", "sleep", "2147483647"])


def _libraries(program: Path) -> set[str]:
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", told))


def _described(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _write(archive: tarfile.TarFile, place: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(place)
    entry.size = size
    archive.addfile(entry, content)
