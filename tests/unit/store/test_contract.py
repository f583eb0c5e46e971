"""The stores that need no server do what every store does."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.store_contract import StoreContract

from autollm.store.folder import FolderStore
from autollm.store.memory import MemoryStore
from autollm.store.port import Store


class TestFolder(StoreContract):
    @pytest.fixture
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> Store:
        return FolderStore(tmp_path_factory.mktemp("store") / "made" / "when needed")


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
