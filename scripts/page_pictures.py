"""Takes the pictures of the process page that the README shows: the example is built, served and seen in Chromium.

    python scripts/page_pictures.py [DATABASE]

With the file of a business that ``make demo`` has built, that one is shown instead of a new one. It takes a minute, and
needs what the tests of the pages need (docs/how-to/run-the-tests.md).
"""  # noqa: INP001

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.serving import build, manage, served  # noqa: E402  (found from anywhere)

IMAGES = ROOT / "docs" / "images"
PAGE = "/stockandflow/membership/"
WIDTH, HEIGHT = 1280, 960
LOOKS: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main(database: Path | None) -> None:
    """Take all pictures."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        shown = Path(folder) / "db.sqlite3"
        if database is None:
            build(shown, scale="1", months="18")
        else:
            shutil.copy(database, shown)
            manage("run_periodic_schedule", database=shown)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with served(shown, Path(folder) / "server.log") as origin:
            for look in LOOKS:
                take(browser, origin, look)
        browser.close()


def take(browser: Browser, origin: str, look: Literal["light", "dark"]) -> None:
    """The top of the page, and the first stock's panel, as somebody sees them who may do everything."""
    context = browser.new_context(
        base_url=origin, viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=look
    )
    page = context.new_page()
    page.goto(PAGE)
    page.fill("input[name=username]", "demo")
    page.fill("input[name=password]", "demo")
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"**{PAGE}")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"process-{look}.png")
    page.locator("#sf-stock-active").screenshot(path=IMAGES / f"stock-{look}.png")
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
