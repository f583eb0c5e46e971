"""Tiny base models and a folder for each test's run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.preparing import Preparer
from support.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without one."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "text", chat=False)


@pytest.fixture
def preparer(tmp_path: Path, chat_model: Path) -> Preparer:
    """Prepares runs below the test's folder."""
    return Preparer(tmp_path, chat_model)
