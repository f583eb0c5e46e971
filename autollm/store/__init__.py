"""Artifacts by URI: one small port, an adapter for each scheme, loaded when a URI asks for it."""

from autollm.store.port import (
    AccessDeniedError,
    DiskFullError,
    NotFoundError,
    PreconditionError,
    Stat,
    Store,
    StoreUnavailableError,
)
from autollm.store.uri import open_beside, open_location, open_store

__all__ = [
    "AccessDeniedError",
    "DiskFullError",
    "NotFoundError",
    "PreconditionError",
    "Stat",
    "Store",
    "StoreUnavailableError",
    "open_beside",
    "open_location",
    "open_store",
]
