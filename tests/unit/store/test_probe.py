"""A server that ignores conditions is found out before any work begins."""

from __future__ import annotations

import pytest

from autollm.errors import InputError
from autollm.store.memory import MemoryStore
from autollm.store.port import Stat
from autollm.store.probe import probe_store


class _Deaf(MemoryStore):
    def __init__(self, ignored: str) -> None:
        super().__init__()
        self._ignored = ignored

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        if self._ignored == "If-Match":
            return super().write(key, data, if_absent=if_absent)
        return super().write(key, data, if_match=if_match)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_an_ignored_condition_is_named(header: str) -> None:
    store = _Deaf(header)
    with pytest.raises(InputError, match=f"memory://store: the server ignores {header}:") as caught:
        probe_store(store)
    assert caught.value.reason == "NoConditionalWrites"
    assert list(store.list()) == []
