"""What a key may look like: relative, `/` between segments, and no way out of the prefix."""

from __future__ import annotations

import unicodedata

from autollm.errors import InputError

RESERVED = ".autollm-"
"""Segments that start so are a folder store's own: unfinished files and the lock."""

_MOST_BYTES = 1024
_UNWRITABLE = frozenset({"Cc", "Cs"})  # S3 lists keys as XML, which has no place for them


def check_key(key: str) -> str:
    """Return a key that is fit for every store; raises InputError (InvalidKey) for one that is not."""
    fault = _fault(key)
    if fault is not None:
        raise InputError(f"the key {key!r} {fault}; keys are relative paths such as records/part.jsonl", reason="InvalidKey")
    return key


def check_prefix(prefix: str) -> str:
    """Return the start of keys: empty, or a key that may end in `/` or in the middle of a segment."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def is_key(key: str) -> bool:
    """Tell whether `check_key` would pass a key."""
    return _fault(key) is None


def _fault(key: str) -> str | None:
    if key.startswith("/"):
        return "is absolute"
    segments = key.split("/")
    if "" in segments:
        return "has an empty segment" if key else "is empty"
    if ".." in segments or "." in segments:
        return "has a segment . or .."
    if any(segment.startswith(RESERVED) for segment in segments):
        return f"has a segment that starts with {RESERVED}, which is reserved"
    if any(unicodedata.category(character) in _UNWRITABLE for character in key):
        return "has a control character, or one that is no text"
    if len(key.encode()) > _MOST_BYTES:
        return f"is longer than {_MOST_BYTES} bytes"
    return None
