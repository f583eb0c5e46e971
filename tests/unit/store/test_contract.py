"""The stores that need no server do what every store does."""

from __future__ import annotations

import pytest

from autollm.store.folder import FolderStore
from autollm.store.memory import MemoryStore
from autollm.store.port import Store
from support.store_contract import StoreContract


class TestFolder(StoreContract):
    @pytest.fixture
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> Store:
        return FolderStore(tmp_path_factory.mktemp("store") / "made" / "when needed")


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
