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
