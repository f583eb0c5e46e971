"""What is wrong with a document: one sentence for each field, with its place and its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that an API server would refuse as well."""

    path: Path
    message: str
    line: int | None = None

    @property
    def field(self) -> str:
        """The place as Kubernetes writes it, such as `spec.sources[1].file.uri`."""
        return field_name(self.path)

    def text(self, file: str) -> str:
        """Return the problem as one line: `run.yaml:12 spec.data.split.test: must be …`."""
        place = file if self.line is None else f"{file}:{self.line}"
        return f"{place} {self.field}: {self.message}" if self.path else f"{place} {self.message}"


def field_name(path: Path) -> str:
    """Write a path as Kubernetes does; a key that is no plain name is put in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{part}]"
    return text


def shown(value: object) -> str:
    """Return a value as it stands in a message: as JSON, and not all of a long one."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most like a wrong one, or the list of all where it is short, or nothing."""
    names = list(known)
    by_small = {name.lower(): name for name in names}
    near = get_close_matches(word.lower(), by_small, n=1, cutoff=0.6)
    if near:
        return f"did you mean {by_small[near[0]]!r}?"
    return f"known are {', '.join(sorted(names))}" if len(names) <= 12 else ""
