"""From every kind of number to the list behind it: as many as the number says, no more and no fewer."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.watching import Watcher

MOST_OF_A_KIND = 3
MOST_SHOWN = 300
"""Longer lists have more pages than there is time for."""
NUMBERS = """
() => [...document.querySelectorAll("a[href*='/objects/?']")].map((link) =>
  [link.getAttribute("href"), (link.textContent.match(/[\\d,]+/) || [""])[0].replaceAll(",", "")])
"""


def length(page: Page) -> int:
    """How many rows the list has, page by page; those that are gone have no row, and are told by their keys."""
    rows = 0
    while True:
        rows += page.locator(".sf-list tbody tr").count()
        following = page.locator("a[rel=next]")
        if not following.count():
            return rows + page.locator(".sf-remark a").count()
        # Not by a click, which returns before the page that it leads to is read. The address is relative to this page.
        page.goto(urljoin(page.url, following.get_attribute("href") or ""))


def kind_of(address: str) -> str:
    """What a number counts, and whether of a part: ``flow``, ``level (facet)``."""
    asked = parse_qs(urlsplit(address).query, keep_blank_values=True)
    return asked["kind"][0] + " (facet)" * any(name.startswith("facet-") for name in asked)


def named(address: str) -> str:
    """The address without the value that goes along, which is the same for the same number."""
    return re.sub(r"&value=-?\d+", "", address)


def wanted(address: str, shown: str, numbers: dict[str, int]) -> int:
    """How long the list is to be: as the number says; behind a net change are the moves in and those out."""
    if kind_of(address).startswith("net"):
        ways = (named(address).replace("kind=net", f"kind={way}") for way in ("inflow", "outflow"))
        return sum(numbers[way] for way in ways)
    return int(shown)


@pytest.mark.parametrize(
    ("slug", "query"),
    [
        ("membership", ""),
        ("membership", "range=7d&split=plan"),
        ("support", "facet-channel=email"),
        ("leads", ""),
    ],
)
def test_the_list_behind_a_number_is_as_long_as_the_number(
    page: Page, watcher: Watcher, slug: str, query: str
) -> None:
    page.goto(f"/stockandflow/{slug}/?{query}")
    links = [(address, shown) for address, shown in page.evaluate(NUMBERS) if shown.isdigit()]
    numbers = {named(address): int(shown) for address, shown in links}
    tried: dict[str, dict[str, int]] = {}
    for address, shown in links:
        found = tried.setdefault(kind_of(address), {})
        if 0 < int(shown) <= MOST_SHOWN and len(found) < MOST_OF_A_KIND:
            found[address] = wanted(address, shown, numbers)
    assert {"level", "inflow", "outflow", "net"} <= {kind.split()[0] for kind in tried}
    wrong = []
    for address, size in (pair for found in tried.values() for pair in found.items()):
        page.goto(address)
        if (found_size := length(page)) != size:
            wrong.append(f"{address} leads to {found_size}, wanted {size}")
    assert wrong == []
    assert watcher.found() == []
