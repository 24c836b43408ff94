"""Everything can be reached by keyboard alone, in order, and one sees where one is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.keyboard import scrolled_by_mouse_only, walk
from tests.browser.test_pages import PAGES, open_page
from tests.browser.watching import Watcher
from tests.site.routes import Route


@pytest.mark.parametrize("route", [route for route in PAGES if not route.is_in_admin], ids=str)
def test_tab_reaches_everything_in_order_and_shows_where_it_is(
    page: Page, watcher: Watcher, route: Route
) -> None:
    open_page(page, route)
    assert walk(page) == []
    page.set_viewport_size({"width": 390, "height": 900})
    assert scrolled_by_mouse_only(page) == []
    assert watcher.found() == []


@pytest.mark.parametrize(
    ("name", "bites"),
    [
        ("mouse-only", "can't be reached: <button"),
        ("no-focus", "focus can't be seen: <a"),
        ("jumping", "out of order: <a"),
    ],
)
def test_what_the_keyboard_misses_is_noticed(page: Page, name: str, bites: str) -> None:
    page.goto(f"/bad/{name}/")
    assert any(found.startswith(bites) for found in walk(page))


def test_a_region_that_only_a_mouse_scrolls_is_noticed(page: Page) -> None:
    page.goto("/bad/scrolling/")
    assert any("scrolls, without focus or name: <pre" in found for found in scrolled_by_mouse_only(page))


def test_a_good_page_is_left_alone(page: Page) -> None:
    page.goto("/bad/well/")
    assert walk(page) + scrolled_by_mouse_only(page) == []
