"""``stockandflow import-events`` reads a CSV file, says what it wrote, and what is wrong by line."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from example.membership.models import Member, MemberFlowEvent, Plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> int:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    pk = Member.objects.create(name="m", email="m@example.org", plan=plan, status="active").pk
    MemberFlowEvent.objects.all().delete()
    return pk


def run(path: Path, *options: str, verbosity: int = 1) -> str:
    out = StringIO()
    arguments: list[Any] = [str(path), "--tracker", "membership.member", *options]
    call_command("stockandflow", "import-events", *arguments, stdout=out, verbosity=verbosity)
    return out.getvalue()


def file(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "moves.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
    return path


def test_a_file_is_imported_once(key: int, tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "subject,timestamp,from,to",
        f"{key},2025-03-01T12:00Z,,trial",
        "",
        f"{key},2025-03-02T12:00Z,trial,active",
    )

    assert run(path, "--dry-run") == "Would import 2 moves of 1 subject.\n"
    assert not MemberFlowEvent.objects.exists()
    assert run(path) == "Imported 2 moves of 1 subject.\n"
    assert run(path) == "Imported nothing new: all 2 moves are there already.\n"
    assert run(path, verbosity=0) == ""
    assert MemberFlowEvent.objects.count() == 2


def test_columns_states_and_the_time_zone_are_named(key: int, tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "was,is,customer,when,plan=name,note",
        f",Try=out,{key},2025-03-01,Old,hello",
        f"Try=out,Paying,{key},2025-07-01 10:00,,",
        encoding="utf-8-sig",
    )
    columns = ["subject=customer", "timestamp=when", "from=was", "to=is", "plan=plan=name"]
    options = [part for column in columns for part in ("--column", column)]
    run(path, *options, "--state", "Try=out=trial", "--state", "Paying=active", "--timezone", "Europe/Berlin")

    rows = MemberFlowEvent.objects.order_by("id").values_list("timestamp", "source", "sink", "facets")
    assert [(at.isoformat(), *rest) for at, *rest in rows] == [
        ("2025-02-28T23:00:00+00:00", "", "trial", {"plan": "Old"}),
        ("2025-07-01T08:00:00+00:00", "trial", "active", {"plan": None}),
    ]


def test_problems_are_told_by_the_line_of_the_file(key: int, tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "subject,timestamp,from,to",
        f'"{key}",2025-03-01T12:00Z,"","trial"',
        "7,8",
        f"{key},2025-03-02,trial,actve",
    )
    with pytest.raises(CommandError) as error:
        run(path)

    text = str(error.value)
    assert "\n  line 3: it has 2 cells, and the header 4" in text
    assert "\n  line 4: '2025-03-02' names no instant without a time zone" in text
    assert "\n  line 4: 'to' is 'actve', which the tracker 'membership.member' doesn't know" in text
    assert not MemberFlowEvent.objects.exists()


def test_what_one_option_mends_is_told_once_with_how_many_lines_want_it(key: int, tmp_path: Path) -> None:
    lines = [
        f"{key},2025-03-{day:02},{'On trial' if day % 2 else ''},{'' if day % 2 else 'On trial'}"
        for day in range(2, 22)
    ]
    path = file(tmp_path, "subject,timestamp,from,to", *lines)
    with pytest.raises(CommandError) as error:
        run(path)

    text = str(error.value)
    assert "has 2 problems" in text
    assert (
        "\n  line 2: '2025-03-02' names no instant without a time zone; give one, e.g. timezone='Europe/London', or on "
        "the command line --timezone Europe/London. The same in 19 more lines: 3, 4, 5, 6, 7 …\n"
    ) in text
    assert "\n  line 2: 'to' is 'On trial', which the tracker 'membership.member' doesn't know" in text
    assert "on the command line --state 'On trial=SLUG'. The same in 19 more lines: 3, 4, 5, 6, 7 …" in text

    assert run(path, "--timezone", "UTC", "--state", "On trial=trial", "--dry-run").startswith("Would import")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], "2025-07-02 12:00:00+00:00"),
        (["--timezone", "Europe/Berlin"], "2025-07-02 14:00:00+02:00"),
    ],
)
def test_instants_are_told_in_the_time_zone_of_the_import(
    key: int, tmp_path: Path, options: list[str], shown: str
) -> None:
    path = file(
        tmp_path,
        "subject,timestamp,from,to",
        f"{key},2025-07-02T12:00Z,,trial",
        f"{key},2025-07-01T12:00Z,trial,active",
    )
    with pytest.raises(CommandError) as error:
        run(path, *options)
    assert f"goes back in time, from {shown} to 2025-07-01 " in str(error.value)


def test_subjects_that_are_gone_are_taken_on_request(key: int, tmp_path: Path) -> None:
    came, went = f"{key + 1},2025-03-01T12:00Z,,trial", f"{key + 1},2025-03-02T12:00Z,trial,"
    path = file(tmp_path, "subject,timestamp,from,to", came, went)
    with pytest.raises(CommandError, match="line 2: there is no member"):
        run(path)
    assert run(path, "--allow-missing") == "Imported 2 moves of 1 subject.\n"


@pytest.mark.parametrize(
    ("lines", "options", "says"),
    [
        (["a,b"], [], "has no column 'subject'; its first line is 'a', 'b'. Name the header"),
        ([], [], "its first line is empty"),
        (["subject;timestamp;from;to"], [], "Commas stand between the names."),
        (["subject,timestamp,from,to,to"], [], "has 2 columns 'to'; its first line is"),
        (["subject,timestamp,from,to"], ["--column", "plan=tier"], "has no column 'tier'"),
        (["subject,timestamp,from,to"], ["--column", "plan=tier"], "--column plan=HEADER"),
        (
            ["subject,timestamp,from,to"],
            ["--state", "In trial=trail"],
            "--state 'In trial' means 'trail', which the tracker 'membership.member' doesn't know: 'active'",
        ),
        (["subject,timestamp,from,to"], ["--column", "plan"], "--column is 'plan'; write two names"),
        (["subject,timestamp,from,to"], ["--state", "=x"], "--state is '=x'; write two names"),
        (["subject,timestamp,from,to", '1,"2" 3,4,5'], [], "is no CSV at line 2"),
        (["subject,timestamp,from,to"], ["--timezone", "Mars"], "Unknown time zone 'Mars'"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, lines: list[str], options: list[str], says: str) -> None:
    with pytest.raises(CommandError) as error:
        run(file(tmp_path, *lines), *options)
    assert says in str(error.value)


def test_a_file_that_is_not_there_or_not_in_utf_8_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.csv can't be read: No such file"):
        run(tmp_path / "nowhere.csv")
    path = file(tmp_path, "subject,timestamp,from,to,é", encoding="latin-1")
    with pytest.raises(CommandError, match="isn't in UTF-8"):
        run(path)


def test_an_unknown_tracker_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"No tracker has the slug 'member'.*Registered: "):
        call_command("stockandflow", "import-events", str(tmp_path / "x.csv"), "--tracker", "member")
