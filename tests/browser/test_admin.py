"""Django's own admin, and the pages that stand in it, under the example's policy: nothing that it does is forbidden."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.watching import Watcher

ADDRESSES = [
    "/admin/",
    "/admin/membership/member/",
    "/admin/membership/member/add/",
    "/admin/auth/user/1/change/",
    "/admin/auth/user/1/password/",
    "/admin/auth/group/add/",
    "/admin/stockandflow/",
    "/stockandflow-admin/",
    "/stockandflow-admin/membership/stock-active/",
    "/stockandflow-admin/membership/flow-converting/",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_admin_keeps_the_policy(page: Page, watcher: Watcher, address: str) -> None:
    page.goto(address, wait_until="networkidle")
    assert watcher.found() == []


def test_the_login_keeps_the_policy(page: Page, watcher: Watcher) -> None:
    page.context.clear_cookies()
    page.goto("/stockandflow/", wait_until="networkidle")
    assert page.get_by_label("Password").is_visible()
    assert watcher.found() == []


def test_no_column_of_the_schedules_entries_is_cut_off(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/admin/stockandflow/scheduleentry/")
    assert page.get_by_text("example.membership.automation.erase_long_gone").is_visible()
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.results'))") == 0


def test_no_dot_hangs_at_an_end_of_a_line_of_the_status(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/stockandflow/status/")
    hanging = """line => [...line.children].filter(part => {
        const box = part.getBoundingClientRect(), before = part.previousElementSibling?.getBoundingClientRect()
        const dot = getComputedStyle(part, '::before')
        const end = box.left + parseFloat(dot.left) + parseFloat(dot.width)
        const begins = !before || before.top < box.top
        return begins === end > line.getBoundingClientRect().left
    }).map(part => part.innerText)"""
    lines = page.locator(".sf-parts").all()
    assert len(lines) > 10
    assert [hung for line in lines for hung in line.evaluate(hanging)] == []


def test_a_long_state_of_an_entry_lies_over_nothing(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/stockandflow-admin/pages/status/")
    lying = """() => {
        const state = document.querySelector(".sf-schedule .sf-state")
        state.textContent = "überfällig seit 12 Std. 45 Min."
        const entry = state.closest(".sf-entry"), box = state.getBoundingClientRect()
        return [...entry.querySelectorAll("svg, button, h3")].map(one => one.getBoundingClientRect())
            .filter(one => one.left < box.right && box.left < one.right && one.top < box.bottom && box.top < one.bottom)
            .length
    }"""
    assert page.evaluate(lying) == 0
