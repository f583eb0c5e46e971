"""The API in memory does what the API server does, as far as the operator asks."""

from __future__ import annotations

import pytest

from autollm_operator.api.port import Api
from support.api_contract import ApiContract
from support.fake_api import FakeApi


class TestFakeApi(ApiContract):
    @pytest.fixture
    def api(self) -> FakeApi:
        return FakeApi()

    @pytest.fixture
    def worker(self, api: FakeApi) -> Api:
        return api.as_manager("autollm-train")

    @pytest.fixture
    def namespace(self) -> str:
        return "team-a"
