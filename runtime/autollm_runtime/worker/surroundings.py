"""Making do in a pod: a read-only root file system, and a user who has neither a name nor a home."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

_HOMES = {"HOME": "home", "TMPDIR": "tmp"}
_CACHES = {
    "XDG_CACHE_HOME": "cache",
    "HF_HOME": "cache/huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "cache/torch",
    "TRITON_CACHE_DIR": "cache/triton",
}
_NAMES = ("USER", "LOGNAME")


def settle_in(scratch: Path, environ: MutableMapping[str, str]) -> None:
    """Give libraries a home, a place for temporary files and for caches below `scratch`, and a name for the user.

    To be called before they are imported. Caches that the pod's own environment puts elsewhere, on a volume say, stay there. Home and
    temporary files move whatever the image says: it was made for another user.
    """
    for variable, name in _HOMES.items():
        (scratch / name).mkdir(parents=True, exist_ok=True)
        environ[variable] = str(scratch / name)
    for variable, name in _CACHES.items():
        environ.setdefault(variable, str(scratch / name))
    for variable in _NAMES:
        environ.setdefault(variable, "autollm")  # getpass looks here before it asks for the uid's entry, which there is none of
