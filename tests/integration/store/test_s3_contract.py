"""S3 does what every store does: at versitygw, a real server over a file system, and at moto."""

from __future__ import annotations

import pytest

from autollm.store import open_store
from autollm.store.port import Store
from support.store_contract import StoreContract


class TestVersitygw(StoreContract):
    @pytest.fixture
    def store(self, bucket: str) -> Store:
        return open_store(f"s3://{bucket}/some/prefix")


class TestMoto(StoreContract):
    @pytest.fixture
    def store(self, moto_bucket: str) -> Store:
        return open_store(f"s3://{moto_bucket}")
