"""``stockandflow series`` shows stocks and flows period by period, in four formats."""

import csv
import json
from datetime import datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from openpyxl import load_workbook

from example.membership.models import Member, Plan
from stockandflow.recording import record
from stockandflow.registry import registry


def series(slug: str, **options: Any) -> str:
    out = StringIO()
    call_command("stockandflow", "series", slug, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def members(db: None) -> None:
    """Three joined today, and one of them converted; all is recorded."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    Member.objects.filter(name="m0").convert()
    record(registry)


def test_of_a_stock_it_is_twelve_months_the_last_one_under_way(members: None) -> None:
    document = json.loads(series("trial", format="json"))
    (found,) = document["series"]
    assert (document["process"], found["kind"], found["measure"], found["grain"]) == (
        None,
        "stock",
        "closing",
        "month",
    )
    assert (found["open"]["value"], found["open"]["status"]) == (2, "in_progress")
    assert len(found["points"]) + len(found["gaps"]) == 11
    since, until = (datetime.fromisoformat(found[key]) for key in ("since", "until"))
    assert timedelta(days=364) < until - since < timedelta(days=367)
    assert since < timezone.now() < until


def test_the_table_says_what_can_still_change(members: None) -> None:
    heading, *rows = series("trial").splitlines()
    assert heading == "Trial · closing · by month · Europe/London"
    assert rows[-1].endswith("██  in progress")


def test_of_a_process_it_is_each_stock_and_each_flow(members: None) -> None:
    rows = list(csv.DictReader(StringIO(series("membership", format="csv", grain="day"))))
    process = registry.process("membership")
    assert {row["stock"] for row in rows if row["kind"] == "level"} == {
        stock.slug for stock in process.stocks
    }
    assert {row["flow"] for row in rows if row["kind"] == "flow"} == {flow.slug for flow in process.flows}
    assert {row["process"] for row in rows} == {"membership"}
    assert {row["grain"] for row in rows} == {"day"}


def test_of_a_process_the_rate_is_that_of_the_flows_that_have_one(members: None) -> None:
    found = json.loads(series("membership", format="json", measure="rate"))["series"]
    flows = {one["slug"] for one in found if one["kind"] == "flow"}
    assert "converting" in flows
    assert "signing-up" not in flows


def test_dates_bound_the_periods_and_those_that_they_cut_are_whole(members: None) -> None:
    (found,) = json.loads(series("trial", format="json", since="2026-01-15", until="2026-03-02"))["series"]
    assert (found["since"], found["until"]) == ("2026-01-01T00:00:00Z", "2026-03-31T23:00:00Z")


def test_a_workbook_has_the_rows_of_the_csv(members: None, tmp_path: Path) -> None:
    path = tmp_path / "trial.xlsx"
    assert series("trial", format="xlsx", output=str(path)) == ""
    book = load_workbook(BytesIO(path.read_bytes()))
    assert book.sheetnames == ["Stocks", "About"]
    rows = list(csv.DictReader(StringIO(series("trial", format="csv"))))
    heading, *lines = book["Stocks"].iter_rows(values_only=True)
    place = heading.index("value")
    assert [str(line[place] if line[place] is not None else "") for line in lines] == [
        row["value"] for row in rows
    ]


@pytest.mark.parametrize(
    ("slug", "options", "message"),
    [
        ("trail", {}, r"No process, stock or flow has the slug 'trail'. Did you mean 'trial'\?"),
        ("trial", {"measure": "rate"}, r"measure is 'rate', but 'trial' is a stock; write aggregate"),
        (
            "converting",
            {"aggregate": "mean"},
            r"aggregate is 'mean', but 'converting' is a flow; write measure",
        ),
        ("signing-up", {"measure": "rate"}, r"'signing-up' has no source stock"),
        ("trial", {"since": "2026-02-01", "until": "2026-01-01"}, r"doesn't come after since"),
    ],
)
@pytest.mark.django_db
def test_what_was_asked_wrong_is_told_with_what_to_write(
    slug: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        series(slug, **options)
