"""A Prometheus with the history of a run in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from docs.monitoring_page import Asked
from support.prometheus import blocks_of, prometheus
from support.search_history import write_history

BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The whole life of a run, as a Prometheus remembers it: where it is asked, and from when to when it was."""
    folder = tmp_path_factory.mktemp("past")
    samples, end = write_history(folder, BEGIN, trials=24)
    with prometheus(folder, history=blocks_of(samples, folder / "blocks")) as server:
        yield Asked(server.url, BEGIN.timestamp(), end.timestamp())
