"""A finished run and one under way, for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sample_run import scored_trials, write_sample_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has published r1; not to be written to."""
    return write_sample_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has scored five trials and waits for a sixth; not to be written to."""
    return write_sample_run(tmp_path_factory.mktemp("searching"), until=scored_trials(5))
