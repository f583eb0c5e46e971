"""What runs from end to end need: workers that start at once, and a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tiny_model import make_tiny_model
from support.warm_workers import warm_workers


@pytest.fixture(scope="session")
def worker_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command of a worker program whose workers have imported PyTorch already."""
    with warm_workers(tmp_path_factory.mktemp("workers")) as program:
        yield program


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
