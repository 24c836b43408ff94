"""Every page in a browser, in each of its looks: nothing forbidden, nothing that keeps people out, nothing cut."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCREENSHOTS
from tests.browser.watching import Watcher, keep, too_wide, unusable
from tests.site.routes import Route, routes

LOOKS: list[tuple[int, Literal["light", "dark"]]] = [
    (1280, "light"),
    (1280, "dark"),
    (390, "light"),
    (390, "dark"),
]


PAGES = [route for route in routes() if route.is_page]


def open_page(page: Page, route: Route) -> None:
    """Open the page, about a member and the number that ``tests.site.routes`` names."""
    answered = page.goto(f"{route.address()}?{urlencode(route.query)}", wait_until="networkidle")
    assert answered
    if answered.headers["content-type"].startswith("text/plain"):
        pytest.skip("not a page yet")


@pytest.mark.parametrize("route", PAGES, ids=str)
def test_a_page_is_clean_in_every_look(page: Page, watcher: Watcher, route: Route) -> None:
    open_page(page, route)
    wrong = watcher.found()
    place = "admin-" if route.is_in_admin else ""
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = watcher.found() + unusable(page, colours_only=scheme == "dark") + too_wide(page)
        wrong += [f"{width} px, {scheme}: {what}" for what in found]
        keep(page, SCREENSHOTS, f"{place}{route.name}-{width}-{scheme}")
    assert wrong == []
