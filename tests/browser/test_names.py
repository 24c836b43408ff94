"""Names as long as people make them, and numbers as large: they are told whole, and keep to their place."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.test_pages import PAGES, open_page
from tests.browser.watching import at_widths, too_wide
from tests.site.routes import Route

LONG = "Donaudampfschifffahrtsgesellschaftskunde"
RENAME = """
(long) => {
  const object = document.querySelector(".sf-work h2, .sf-head:has(+ .sf-places) h1, .sf-list tbody th > a");
  const names = ["Membership", "Active", "Trial", "Converting", "United Kingdom", object?.textContent].filter(Boolean);
  const texts = document.createTreeWalker(document.querySelector(".sf"), NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); )
    if (!text.parentElement.closest("svg, option"))
      for (const name of names) text.data = text.data.replaceAll(name, long);
}
"""
SPILLING = """
() => [...document.querySelectorAll(".sf :is(.sf-card, .sf-facts, .sf-head > *, .sf-crumbs, .sf-button)")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX === "visible")
  .filter((one) => getComputedStyle(one).display !== "inline")
  .map((one) => `${one.scrollWidth} px of ${one.clientWidth}: ${one.outerHTML.slice(0, 120)}`)
"""
CUT = """
() => [...document.querySelectorAll(".sf tbody th > a")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible")
  .map((one) => one.textContent)
"""
ENLARGE = """
(number) => document.querySelectorAll(".sf :is(.sf-big, .sf-levels dd, .sf-panel h3) :is(a, strong)").forEach((one) => {
  one.textContent = number;
})
"""
BESIDE = """
() => [...document.querySelectorAll(".sf-levels > div")]
  .filter((row) => row.querySelector("dt").getBoundingClientRect().right >
    row.querySelector("dd > *").getBoundingClientRect().left)
  .map((row) => row.textContent)
"""


@pytest.mark.parametrize("route", PAGES, ids=str)
def test_a_long_name_is_told_whole_and_keeps_to_its_place(page: Page, route: Route) -> None:
    open_page(page, route)
    page.evaluate(RENAME, LONG)
    for _ in at_widths(page, 1280, 390):
        assert too_wide(page) == []
        assert page.evaluate(SPILLING) == []
        assert page.evaluate(CUT) == []


@pytest.mark.parametrize("path", ["", "stocks/active/", "flows/converting/"])
def test_a_number_of_twelve_digits_keeps_to_its_place(page: Page, path: str) -> None:
    page.goto(f"/stockandflow/membership/{path}")
    page.evaluate(ENLARGE, "987,654,321,012")
    for _ in at_widths(page, 1280, 390):
        assert too_wide(page) == []
        assert page.evaluate(SPILLING) == []
        assert page.evaluate(BESIDE) == []
