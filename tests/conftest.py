"""Real servers that several rooms' tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.versitygw import S3Server, built_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the whole session: `endpoint`, `access_key`, `secret_key`, `environment`, `make_bucket(name)`."""
    with built_server(tmp_path_factory.mktemp("versitygw")) as server:
        yield server
