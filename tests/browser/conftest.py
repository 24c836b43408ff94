"""Chromium, logged in to the example; where there is no Chromium, these tests say so and are skipped.

With ``STOCKANDFLOW_REQUIRE_BROWSER=1`` that is a failure. The fixtures of pytest-playwright live until the run ends;
these end with the last test here, since Django refuses its database to a thread that has a running event loop.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, Playwright, sync_playwright

from tests.browser.serving import build, served
from tests.browser.watching import Watcher
from tests.code_blocks import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS = ROOT / "build" / "screenshots" / f"django-{django.VERSION[0]}.{django.VERSION[1]}"
"""Where a run leaves a picture of every page in each of its looks."""
TIMEOUT_MS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are slow, and run on one database, which is the example's.

    They aren't kept together: each worker builds and serves an example of its own, in some seconds, and two workers see
    all pages sooner than one that has nothing to build twice.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            if os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite":
                item.add_marker(
                    pytest.mark.skip(reason="a browser sees the example, whose data is an SQLite file's")
                )


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser_type(playwright: Playwright) -> BrowserType:
    return playwright.chromium


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """The system's Chromium: none is downloaded."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no browser sees the pages: none of {', '.join(NAMES)} is on PATH"
        if os.environ.get("STOCKANDFLOW_REQUIRE_BROWSER", "0") not in ("", "0"):
            pytest.fail(f"STOCKANDFLOW_REQUIRE_BROWSER is set, but {reason}. Install chromium.")
        pytest.skip(reason)
    # Chromium's sandbox refuses root; the pages are our own.
    return {"executable_path": found, "args": ["--no-sandbox"] if os.geteuid() == 0 else []}


@pytest.fixture(scope="package")
def launch_browser(
    browser_type_launch_args: dict[str, Any], browser_type: BrowserType
) -> Callable[..., Browser]:
    return lambda **arguments: browser_type.launch(**{**browser_type_launch_args, **arguments})


@pytest.fixture(scope="package")
def browser(launch_browser: Callable[..., Browser]) -> Iterator[Browser]:
    started = launch_browser()
    yield started
    started.close()


@pytest.fixture(scope="package")
def database(browser_type_launch_args: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's business, built once by each worker, and only where there is a browser."""
    path = tmp_path_factory.mktemp("browser") / "db.sqlite3"
    build(path)
    return path


@pytest.fixture(scope="package")
def origin(database: Path) -> Iterator[str]:
    with served(database, database.with_name("server.log")) as address:
        yield address


@pytest.fixture(scope="package")
def cookies(browser: Browser, origin: str) -> Any:
    """What a browser keeps once somebody who may do everything has logged in by the form."""
    context = browser.new_context(base_url=origin)
    page = context.new_page()
    page.goto("/stockandflow/")
    page.fill("input[name=username]", "demo")
    page.fill("input[name=password]", "demo")
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/stockandflow/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="package")
def browser_context_args(origin: str, cookies: Any) -> dict[str, Any]:
    return {"base_url": origin, "storage_state": cookies, "viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def page(context: BrowserContext) -> Page:
    context.set_default_timeout(TIMEOUT_MS)
    return context.new_page()


@pytest.fixture
def watcher(page: Page, origin: str) -> Watcher:
    """Notes all that the page of this test may not do."""
    return Watcher(page, origin)
