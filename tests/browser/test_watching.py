"""The watcher bites: what no page may do is found on a page that does it, and nothing is on one that doesn't."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.watching import Watcher, too_wide, unusable


@pytest.mark.parametrize(
    ("name", "bites"),
    [
        ("style", "policy: style-src-attr forbids inline"),
        ("script", "policy: script-src-elem forbids inline"),
        ("elsewhere", "foreign: http://elsewhere.invalid/pixel.png"),
        ("missing", "status: 404 from "),
        ("complaint", "console: this went wrong"),
        ("throwing", "thrown: thrown on purpose"),
        ("refused", "status: 404 from "),
    ],
)
def test_what_no_page_may_do_is_noticed(page: Page, watcher: Watcher, name: str, bites: str) -> None:
    page.goto(f"/bad/{name}/", wait_until="networkidle")
    assert any(found.startswith(bites) for found in watcher.found())


def test_a_page_that_is_not_there_is_noticed(page: Page, watcher: Watcher) -> None:
    page.goto("/stockandflow/nowhere/")
    assert any("404" in found for found in watcher.found())


def test_what_keeps_people_from_using_a_page_is_noticed(page: Page, watcher: Watcher) -> None:
    page.goto("/bad/unlabelled/")
    assert any("axe: label" in found for found in unusable(page))


def test_a_page_that_must_be_scrolled_sideways_is_noticed(page: Page, watcher: Watcher) -> None:
    page.goto("/bad/wide/")
    assert "and <pre>" in "".join(too_wide(page))


def test_a_good_page_is_left_alone(page: Page, watcher: Watcher) -> None:
    page.goto("/bad/well/", wait_until="networkidle")
    assert watcher.found() + unusable(page) + too_wide(page) == []


def test_what_can_not_be_read_is_noticed_by_its_colours_alone(page: Page, watcher: Watcher) -> None:
    page.goto("/bad/faint/")
    assert any("axe: color-contrast" in found for found in unusable(page, colours_only=True))
