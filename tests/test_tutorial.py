"""The pages that a reader follows step by step do what they say: every code block in them is run."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.code_blocks import ROOT, Reader, follow_page, own_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the reader's project brings its own SQLite file: one run shows it all",
    ),
]

VISIT = """
import django

django.setup()
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment

setup_test_environment()
client = Client()
client.force_login(User.objects.get(username="you"))
for address, shown in {
    "/stockandflow/": "From the order to the parcel.",
    "/stockandflow/orders/": "Erasing",
    "/work/": "Paid",
}.items():
    assert shown in client.get(address).content.decode(), address
pages = [page for app in client.get("/work/").context["app_list"] for page in app["models"]]
assert len(pages) == 6, pages
for page in pages:
    assert client.get(page["admin_url"]).status_code == 200, page
paid = pages[0]["admin_url"]
chosen = client.get(paid).context["cl"].result_list[0].pk
client.post(paid, {"action": "ship", "_selected_action": [chosen]})
from orders.models import Order, OrderFlowEvent

assert Order.objects.get(pk=chosen).status == "shipped"
assert OrderFlowEvent.objects.filter(flow="shipping", subject=chosen).count() == 1
"""


def test_the_tutorial_leads_from_nothing_to_a_report_and_pages_that_work(tmp_path: Path) -> None:
    page = "docs/tutorial/index.md"
    reader = Reader(tmp_path, page, python=own_environment(tmp_path), begun=False)
    assert reader.clone.is_dir()  # what the page installs from
    assert follow_page((ROOT / page).read_text(), reader) > 0
    settings = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([reader.python, "-c", VISIT], cwd=reader.project, env=settings, check=True)


def test_the_installation_guide_can_be_followed(tmp_path: Path) -> None:
    page = "docs/how-to/install.md"
    reader = Reader(tmp_path, page, python=own_environment(tmp_path))
    assert reader.clone.is_dir()
    assert follow_page((ROOT / page).read_text(), reader) > 0
    with closing(sqlite3.connect(reader.project / "db.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM shop_subscription").fetchone() == (0,)
        assert (
            database.execute("SELECT name FROM sqlite_master WHERE name LIKE '%stockandflow%'").fetchall()
            == []
        )
