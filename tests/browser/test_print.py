"""On paper a page is light, without what can only be clicked, and no card is torn in two."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_pages import PAGES, open_page
from tests.browser.watching import Watcher
from tests.site.routes import Route

LIGHTNESS = """
(selector) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(document.querySelector(selector));
  return [style.color, style.backgroundColor].map((colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return alpha ? Math.round((red + green + blue) / 7.65) : 100;
  });
}
"""
SHOWN = """
() => [...document.querySelectorAll("form, button, .sf-crumbs")].filter(
  (element) => element.checkVisibility()).map((element) => element.outerHTML.slice(0, 80))
"""
TORN = """
() => [...document.querySelectorAll(".sf-card")].filter(
  (element) => getComputedStyle(element).breakInside !== "avoid").map((element) => element.id)
"""


@pytest.mark.parametrize("route", PAGES, ids=str)
def test_a_page_can_be_printed(page: Page, watcher: Watcher, route: Route) -> None:
    open_page(page, route)
    page.emulate_media(media="print", color_scheme="dark")
    for selector in (".sf", "h1"):
        text, background = page.evaluate(LIGHTNESS, selector)
        assert (text < 40, background > 90) == (True, True), (selector, text, background)
    assert page.evaluate(SHOWN) == []
    assert page.evaluate(TORN) == []
    place = "admin-" if route.is_in_admin else ""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf(path=SCREENSHOTS / f"{place}{route.name}-print.pdf", format="A4")
    assert watcher.found() == []
