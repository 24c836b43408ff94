"""The page, its files, the API and the report in Python tell the same numbers, whatever became of the records."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from example.membership.models import MemberFlowEvent
from stockandflow import recording, reports
from stockandflow.registry import registry
from tests.reports.history import counted, histories, midnight, recorded_long_ago, written
from tests.users import user_with

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PAGE, API = "/stockandflow/membership/", "/stockandflow/api/v1/processes/membership/"
SINCE, UNTIL = midnight(2024, 11, 9), midnight(2026, 3, 1)
LEVELS = ("opening", "inflow", "outflow", "unexplained", "closing")


def told(process: Any, since: Any, until: Any) -> dict[str, list[int]]:
    """Stock slug → opening, inflow, outflow, unexplained and closing, by the report in Python."""
    found = reports.balance(process, since, until)
    return {line.stock.slug: [getattr(line, name) for name in LEVELS] for line in found.stocks}


def by_rows(rows: Any) -> dict[str, list[int]]:
    """The same from rows of the CSV or the API: moves are summed."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if row["measure"] == "count" and row["scope"] == "range":
            found.setdefault(row["stock"], [0] * 5)[LEVELS.index(row["kind"])] += int(row["value"])
    return found


def by_page(html: str, process: Any) -> dict[str, list[int]]:
    """The same from the cells of the page's ledger."""
    table = html.partition('id="sf-ledger"')[2].partition("</table>")[0]
    cells: dict[str, list[int]] = {}
    for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL):
        texts = [re.sub(r"<[^>]+>", " ", one) for one in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        names = [stock for stock in process.stocks if re.search(rf">\s*{stock.name}\s*<", row)]
        if names and len(texts) >= 5:
            numbers = [re.search(r"[+−]?\d[\d,]*", text) for text in (*texts[:3], *texts[4:6])]
            found = [int(one.group().lstrip("+−").replace(",", "")) if one else 0 for one in numbers]
            cells[names[0].slug] = found
    return cells


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_way_to_read_a_process_tells_the_same(client: Client, seed: int) -> None:
    chance, process = Random(seed), registry.process("membership")
    moves = histories(40, SINCE, UNTIL)
    written(moves)
    for at in (SINCE, midnight(2025, 7, 4), UNTIL):
        counted(moves, at)
    recorded_long_ago()
    recording.record(registry)
    # One that came late, and is taken in on every second seed alone.
    MemberFlowEvent.objects.create(
        tracker="membership.member", flow="signing-up", sink="trial", subject_id=99_999, origin="import",
        timestamp=midnight(2025, 5, 9), recorded_at=timezone.now(),
    )  # fmt: skip
    if seed % 2:
        recording.record(registry)
    if seed > 1:
        age = timezone.now() - midnight(2026, 1, 2)
        recording.prune(registry, retention=recording.Retention(events=age))
    client.force_login(user_with("view_process", "export_process", "view_member", name="reader"))
    for _ in range(2):
        first = midnight(2025, chance.randrange(1, 7), 1)
        last = midnight(2025, chance.randrange(8, 13), 1)
        expected = told(process, first, last)
        assert any(numbers[1] for numbers in expected.values())
        asked = {
            "since": f"{first + timedelta(hours=2):%Y-%m-%d}",
            "until": f"{last + timedelta(hours=2):%Y-%m-%d}",
        }

        text = client.get(PAGE, {**asked, "format": "csv"}).getvalue().decode()
        assert by_rows(csv.DictReader(StringIO(text))) == expected
        document = json.loads(client.get(PAGE, {**asked, "format": "json"}).getvalue())
        assert {one["slug"]: [one[name] for name in LEVELS] for one in document["stocks"]} == expected
        assert by_rows(client.get(API, asked).json()["rows"]) == expected
        page = by_page(client.get(PAGE, asked).content.decode(), process)
        assert {slug: list(map(abs, numbers)) for slug, numbers in expected.items()} == page
