"""Whom a pod works for: the object with the uid it was given, or that object's children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def belongs_to(document: Mapping[str, Any], uid: str) -> bool:
    """Say whether an object has this uid, or is controlled by the object that has it."""
    metadata = document["metadata"]
    owners = metadata.get("ownerReferences") or ()
    return metadata.get("uid") == uid or any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
