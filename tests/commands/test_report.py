"""``stockandflow report`` shows a process in three formats, and tells what was asked wrong."""

import csv
import json
import os
import re
import shutil
from datetime import datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openpyxl import load_workbook

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import recording
from stockandflow.capture import suspended
from stockandflow.declarations import Flow, Process
from stockandflow.models import StockRecord
from stockandflow.periods import Grain
from stockandflow.registry import registry
from stockandflow.rendering.table import columns_of
from tests.rendering.test_document import VALIDATOR


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def report(slug: str = "membership", out: Any = None, **options: Any) -> str:
    out = out or StringIO()
    call_command("stockandflow", "report", slug, stdout=out, **options)
    return str(out.getvalue())


@pytest.fixture
def members(db: None) -> None:
    """Three joined today, and one of them converted; nobody was there forty days ago."""
    long_ago = timezone.now() - timedelta(days=40)
    StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=long_ago, count=0)
        for stock in registry.process("membership").stocks
    )
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    Member.objects.filter(name="m0").convert()


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_what_went_round_the_capture_is_shown_with_its_meaning(members: None) -> None:
    with suspended(registry, "default"):
        Member.objects.filter(name="m1").delete()

    table = report()

    assert table.startswith("Membership\nHow people move from sign-up to active membership")
    assert "Trial           0  +3   −1   +2           −1    1  ▲ from 0" in table
    assert "Trial: −1 unexplained. Its flows lead from 0 to 2, but it has 1." in table
    assert re.search(r"^    Converting +from Trial +1  ██████▋$", table, re.MULTILINE)
    causes = table.partition("\nWhere it comes from\n")[2]
    assert re.match(r"Trial: −1 between the counts of .+ and", causes)
    assert re.search(r"^Missing by now: 1 move from Trial to outside, of \d+\.$", causes, re.MULTILINE)
    assert "Run 'manage.py stockandflow sweep'" in causes


@pytest.mark.django_db(transaction=True)  # MariaDB commits when triggers come and go
def test_the_causes_may_be_left_out_with_their_queries(members: None) -> None:
    with suspended(registry, "default"):
        Member.objects.filter(name="m1").delete()
    with CaptureQueriesContext(connection) as sought:
        report()
    with CaptureQueriesContext(connection) as left_out:
        table = report(causes=False)

    assert "Trial: −1 unexplained." in table
    assert "Where it comes from" not in table
    assert len(left_out) < len(sought)


def test_where_everything_is_explained_no_causes_are_sought(members: None) -> None:
    assert "Where it comes from" not in report()


def test_by_default_it_is_the_last_thirty_days_in_progress(members: None) -> None:
    document = json.loads(report(format="json"))
    now = timezone.now()
    since, until = (datetime.fromisoformat(document[key]) for key in ("since", "until"))
    assert until - timedelta(days=1, hours=1) <= now < until
    assert timedelta(days=29, hours=22) < until - since < timedelta(days=30, hours=2)
    assert document["in_progress"] is True
    assert document["time_zone"] == "Europe/London"
    trial = document["stocks"][0]
    assert (trial["opening"], trial["inflow"], trial["outflow"], trial["closing"]) == (0, 3, 1, 2)


def test_dates_are_local_and_until_is_not_included(members: None) -> None:
    document = json.loads(report(format="json", since="2026-06-01", until="2026-07-01"))
    assert (document["since"], document["until"]) == ("2026-05-31T23:00:00Z", "2026-06-30T23:00:00Z")
    assert document["in_progress"] is False
    assert document["stocks"][0]["inflows"] == []


def test_instants_with_an_offset_are_taken_as_they_are(members: None) -> None:
    document = json.loads(report(format="json", since="2026-06-01T10:00+02:00", until="2026-06-01T09:00:30Z"))
    assert (document["since"], document["until"]) == ("2026-06-01T08:00:00Z", "2026-06-01T09:00:30Z")


def test_the_csv_holds_what_the_json_holds(members: None) -> None:
    rows = list(csv.DictReader(StringIO(report(format="csv"))))
    assert {row["kind"] for row in rows} == {"opening", "inflow", "outflow", "unexplained", "closing"}
    moves = [row for row in rows if row["kind"] == "inflow" and row["stock"] == "active"]
    (converting,) = (row for row in moves if row["measure"] == "count")
    assert (converting["flow"], converting["source"], converting["value"]) == ("converting", "trial", "1")


def test_a_workbook_holds_what_the_json_holds(members: None, tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    assert report(format="xlsx", output=str(path), grain="month") == ""
    book = load_workbook(path)
    (heading, *lines), (_, *moves) = (book[name].iter_rows(values_only=True) for name in ("Stocks", "Flows"))
    lines += moves
    rows = [dict(zip(heading, line, strict=True)) for line in lines]
    for stock in json.loads(report(format="json"))["stocks"]:
        mine = [row for row in rows if (row["scope"], row["stock"]) == ("range", stock["slug"])]
        counts = [row for row in mine if row["measure"] == "count"]
        for kind, key in (("opening", "opening"), ("closing", "closing"), ("unexplained", "unexplained")):
            assert [row["value"] for row in counts if row["kind"] == kind] == [stock[key]]
        for kind in ("inflow", "outflow"):
            assert sum(row["value"] for row in counts if row["kind"] == kind) == stock[kind]
    assert {row["scope"] for row in rows} == {"range", "part"}
    assert book["Ledger"]["A1"].value == "Membership"


@pytest.mark.parametrize("kind", ["table", "json", "csv"])
def test_a_file_gets_what_the_output_would_get(members: None, tmp_path: Path, kind: str) -> None:
    path, options = tmp_path / "report", {"since": "2026-06-01", "until": "2026-07-01", "format": kind}
    report(output=str(path), out=Terminal(), **options)
    assert path.read_text() == report(**options)


def test_a_workbook_is_not_written_to_a_terminal(members: None) -> None:
    with pytest.raises(CommandError, match=r"binary, and a terminal can't show it; .* --output report.xlsx"):
        report(out=Terminal(), format="xlsx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"slug": "membershp"},
            r"No process has the slug 'membershp'. Did you mean 'membership'\? Registered: 'leads'",
        ),
        ({"since": "last week"}, r"since is 'last week', which is no date; write YYYY-MM-DD"),
        (
            {"until": "2026-11-23T10:00"},
            r"until is '2026-11-23T10:00', which names no instant .* write '2026-11-23T10:00",
        ),
        (
            {"since": "2026-07-01", "until": "2026-06-01"},
            r"until \(2026-06-01\) doesn't come after since \(2026-07-01\)",
        ),
        ({"since": "2200-01-01"}, r"since is 2200-01-01, which hasn't come yet"),
        ({"since": "3026-01-01"}, r"since is '3026-01-01'; its year must be 1900 to 2200"),
    ],
)
@pytest.mark.django_db
def test_what_was_asked_wrong_is_told_with_what_to_write(options: dict[str, str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        report(**options)


@pytest.mark.django_db
def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(CommandError, match=r"choose from '?table'?, '?json'?, '?csv'?, '?xlsx'?"):
        call_command("stockandflow", "report", "membership", "--format", "xml")


def test_elsewhere_than_on_a_terminal_there_is_no_colour_unless_asked_for(members: None) -> None:
    assert "\x1b[" not in report()
    assert "\x1b[" in report(force_color=True)
    assert "\x1b[" in report(out=Terminal(), force_color=True)
    assert "\x1b[" not in report(out=Terminal(), no_color=True)


def test_the_table_follows_the_terminal_up_to_a_hundred_columns(
    members: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def widest(out: StringIO | None, columns: int) -> int:
        size = os.terminal_size((columns, 24))
        monkeypatch.setattr(shutil, "get_terminal_size", lambda fallback=(80, 24): size)
        return max(map(columns_of, report("support", out=out).splitlines()))

    long = "What happens to the questions of members, " * 4
    monkeypatch.setattr(registry.process("support"), "description", long)
    assert 80 < widest(Terminal(), 97) <= 97
    assert 80 < widest(Terminal(), 300) <= 100
    assert widest(Terminal(), 20) <= 80
    assert widest(None, 300) <= 80


def test_an_output_that_holds_ascii_only_gets_ascii(members: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.process("membership"), "name", "Mitglieder: Größe")
    held = BytesIO()
    out = TextIOWrapper(held, encoding="ascii")
    call_command("stockandflow", "report", "membership", stdout=out)
    out.flush()
    text = held.getvalue().decode("ascii")
    assert text.startswith("Mitglieder: Gr??e\n")
    assert "Trial           0  +3   -1   +2            0    2  ^ from 0" in text


@pytest.fixture
def odd_state(members: None, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A process with moves from a state without a stock, whose text no ASCII can hold."""
    trial = registry.stock("trial")
    flow = Flow(
        "asking", "Asking", registry.flow("converting").flow_event_model, sources=["Straße"], sinks=[trial]
    )
    flow.add_event(Member.objects.earliest("pk"), "Straße", trial)
    process = Process("odd", "Odd", [trial], flows=[flow])
    monkeypatch.setattr(registry, "processes", [process])
    return process


def test_csv_is_refused_rather_than_spoilt(odd_state: Process) -> None:
    with pytest.raises(CommandError, match=r"encoding 'ascii' can't hold 'ß'; set PYTHONIOENCODING=utf-8"):
        call_command(
            "stockandflow",
            "report",
            "odd",
            "--format",
            "csv",
            stdout=TextIOWrapper(BytesIO(), encoding="ascii"),
        )
    assert "inflow,count,trial,Trial,asking,Asking,Straße,Straße,trial,Trial,1" in report("odd", format="csv")
    inflows = json.loads(report("odd", format="json"))["stocks"][0]["inflows"]
    assert {line["source"] for line in inflows} == {"Straße", None}


def test_it_goes_by_days_and_compares(members: None) -> None:
    document = json.loads(report(format="json", grain="week", compare="previous"))

    assert len(document["parts"]) in (5, 6)
    assert [part["status"] for part in document["parts"]][-1] == "in_progress"
    assert (
        document["compared"]["until"] < document["since"]
        or document["compared"]["until"] == document["since"]
    )
    assert "Compared with" in report(compare="previous")


def test_it_splits_by_a_facet_and_reports_on_a_slice(members: None) -> None:
    document = json.loads(report(format="json", split_by="plan", since=timezone.now().date().isoformat()))
    assert document["slices"]["Basic"]["stocks"][0]["inflow"] == 3
    assert "Trial by plan" in report(split_by="plan")

    (slice_,) = [json.loads(report(format="json", facet="plan=Basic"))["slice"]]
    assert slice_ == {"plan": "Basic"}
    assert "plan=Basic" in report(format="csv", facet="plan=Basic")


def test_a_second_facet_is_refused_and_not_taken_for_the_first(members: None) -> None:
    with pytest.raises(CommandError, match="--facet is given twice; give one"):
        call_command("stockandflow", "report", "membership", "--facet", "plan=Basic", "--facet", "plan=Pro")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"facet": "plan"}, "write a facet's slug, '=' and its value"),
        ({"facet": "plan=Platinum"}, "no value 'Platinum'"),
        ({"split_by": "colour"}, "'country', 'plan'"),
    ],
)
def test_a_facet_that_there_is_not_is_refused(members: None, asked: dict[str, str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        report(**asked)


def test_each_number_as_it_was_reported_then(db: None) -> None:
    """A final day got a late event: then it had one move less, and a day that came later wasn't known at all."""
    process = registry.process("membership")
    days = process.calendar
    start = days.period(Grain.DAY, timezone.now() - timedelta(days=40)).start

    def join(at: datetime) -> None:
        MemberFlowEvent.objects.create(
            tracker="membership.member", flow="signing-up", sink="trial", subject_id=1, origin="import",
            timestamp=at, recorded_at=timezone.now() - timedelta(days=2),
        )  # fmt: skip

    join(start + timedelta(hours=5))
    recording.record(registry)
    then = timezone.now()
    join(start + timedelta(hours=7))
    recording.record(registry)
    asked = {"since": start.isoformat(), "until": days.period(Grain.DAY, start).end.isoformat()}

    table = report(as_reported=then.isoformat(), **asked)
    line = next(line for line in table.splitlines() if "Signing up" in line)
    assert re.search(r"^  Signing up from outside to Trial +1  +2  changed$", line)

    before = report(as_reported="2020-01-01", **asked)
    assert re.search(r"Signing up from outside to Trial +– +2$", before, re.MULTILINE)
    assert "–: it wasn't computed yet, or was provisional" in before

    document = json.loads(report(as_reported=then.isoformat(), format="json", **asked))
    VALIDATOR.validate(document)
    (number,) = [
        one
        for one in document["as_reported"]["numbers"]
        if (one["flow"], one["measure"]) == ("signing-up", "count")
    ]
    assert (number["then"], number["now"], number["sink"], number["reason"]) == (1, 2, "trial", "")
    assert document["stocks"][0]["inflows"][0]["computed_at"]
    assert document["stocks"][0]["opening_computed_at"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "csv"}, "a table or as JSON"),
        ({"compare": "previous"}, "--compare asks for others"),
        ({"split_by": "plan"}, "--split-by asks for others"),
    ],
)
def test_what_was_reported_then_has_no_more_than_that(db: None, options: dict[str, str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        report(as_reported="2026-01-01", **options)
