"""Where there is little room: tables and forms keep their lines together."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.watching import settle

ROWS = """
() => [...new Set([...document.querySelectorAll(".sf-filters > :is(.sf-field, .sf-button)")]
  .map((one) => Math.round(one.getBoundingClientRect().bottom)))].length
"""
SCROLLING = """
() => [...document.querySelectorAll(".sf-pair .sf-scroll")].filter((one) => one.scrollWidth > one.clientWidth).length
"""
OUTSIDE = """
() => [...document.querySelectorAll(".sf-filters > *")]
  .filter((one) => one.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right)
  .map((one) => one.textContent)
"""


def test_from_where_to_where_stands_on_one_line_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/stockandflow/membership/flows/cancelling/")
    settle(page)
    way = page.locator(".sf-from-to tbody .sf-way").first
    box = way.bounding_box()
    assert box
    assert box["height"] < 2 * 24


def test_the_ways_into_and_out_of_a_stock_need_no_scrolling_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/stockandflow/membership/stocks/active/")
    page.evaluate(
        """() => document.querySelectorAll(".sf-pair thead th:nth-child(2)")
          .forEach((one) => { one.textContent = "Bewegungen"; })"""
    )
    settle(page)
    assert page.evaluate(SCROLLING) == 0


@pytest.mark.parametrize("query", ["", "?since=2026-11-01&until=2026-11-20"])
def test_the_filters_stand_in_two_rows_in_the_admins_frame(page: Page, query: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"/stockandflow-admin/pages/membership/{query}")
    settle(page)
    assert page.evaluate(ROWS) == 2
    assert page.evaluate(OUTSIDE) == []
    first, last = page.locator(".sf-filters .sf-field:has(select)"), page.locator(".sf-filters > .sf-button")
    tops = {round(one.bounding_box()["y"]) for one in first.all()}  # type: ignore[index]
    assert len(tops) == 1
    assert last.bounding_box()["y"] > tops.pop()  # type: ignore[index]
