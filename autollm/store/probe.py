"""Whether a store can keep artifacts, tried before any work begins."""

from __future__ import annotations

import secrets

from autollm.errors import InputError
from autollm.store.port import PreconditionError, Store


def probe_store(store: Store) -> None:
    """Write, write again under a condition that must fail, and delete one small object.

    Raises AccessDeniedError, NotFoundError, StoreUnavailableError or DiskFullError as any use would, and InputError (NoConditionalWrites)
    where the server ignores If-None-Match or If-Match: two workers could then overwrite each other's manifests unnoticed.
    """
    key = f"probes/{secrets.token_hex(8)}"
    etag = store.write(key, b"1", if_absent=True).etag
    try:
        _expect_refusal(store, key, if_absent=True)
        store.write(key, b"2", if_match=etag)
        _expect_refusal(store, key, if_match=etag)
    finally:
        store.delete(key)


def _expect_refusal(store: Store, key: str, *, if_absent: bool = False, if_match: str | None = None) -> None:
    try:
        store.write(key, b"3", if_absent=if_absent, if_match=if_match)
    except PreconditionError:
        return
    header = "If-None-Match" if if_absent else "If-Match"
    raise InputError(
        f"{store.uri}: the server ignores {header}: artifacts need a store with conditional writes",
        reason="NoConditionalWrites",
    )
