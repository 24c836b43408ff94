"""The words at the axes of charts: none runs into its neighbour, on a phone either."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.watching import at_widths

COLLIDING = """
() => [...document.querySelectorAll(".sf-axis")].flatMap((axis) => {
  const words = [...axis.querySelectorAll("text")].map((word) => [word.textContent, word.getBoundingClientRect()]);
  const shown = words.filter(([, box]) => box.width);
  return shown.flatMap(([word, box], place) =>
    shown.slice(place + 1)
      .filter(([, other]) => box.top < other.bottom && other.top < box.bottom)
      .filter(([, other]) => box.left < other.right + 4 && other.left < box.right + 4)
      .map(([other]) => `${word} and ${other}`));
})
"""


@pytest.mark.parametrize("asked", ["range=7d", "range=30d", "range=90d", "range=12mo", "range=12mo&per=week"])
@pytest.mark.parametrize("path", ["membership/stocks/active/", "membership/flows/converting/"])
def test_no_word_at_an_axis_runs_into_another(page: Page, path: str, asked: str) -> None:
    page.goto(f"/stockandflow/{path}?{asked}")
    for width in at_widths(page, 1280, 760, 390):
        assert page.evaluate(COLLIDING) == [], width
