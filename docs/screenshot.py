"""Take a picture of a report for the README: `python docs/screenshot.py runs/quickstart/report.html docs/images/report.png`.

Needs the package playwright (of the extra `dev`) and Debian's chromium.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def main() -> None:
    """Open the page, wait until its plots are drawn, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1300, help="0: the whole page")
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    asked = parser.parse_args()
    if not asked.report.is_file():
        parser.error(f"there is no report {asked.report}: `autollm report FOLDER` writes one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": asked.width, "height": asked.height or 1200}, color_scheme=asked.scheme)
        page.goto(asked.report.resolve().as_uri())
        page.wait_for_function("document.documentElement.dataset.drawn !== undefined")
        page.screenshot(path=asked.picture, full_page=not asked.height)
        browser.close()


if __name__ == "__main__":
    main()
