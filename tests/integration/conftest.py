"""Debian's chromium, which every page is opened in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


MOST_MILLISECONDS = 300_000
"""Playwright's own half minute is too little where other tests keep the processors."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for all tests; each opens pages in a context of its own, which it lets wait as long."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES, timeout=MOST_MILLISECONDS)
        yield browser
        browser.close()
