"""``stockandflow record`` counts what is registered, says so, and takes a range to compute anew."""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow.models import FlowRecord, Origin, Restatement, StockRecord
from stockandflow.registry import registry
from tests.clock import clock_behind

pytestmark = pytest.mark.django_db


@pytest.fixture
def in_august() -> Iterator[None]:
    """When the days of early summer have become final; those after it would be computed, too."""
    with clock_behind(timezone.now() - datetime(2026, 8, 20, tzinfo=UTC)):
        yield


def record(**options: object) -> str:
    out = StringIO()
    call_command("stockandflow", "record", stdout=out, **options)
    return out.getvalue()


def test_every_stock_is_counted_under_one_instant_and_the_run_is_told() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.create(name="m", email="m@example.org", plan=plan)

    said = record()

    assert said.startswith(f"Recorded {len(registry.stocks)} stocks with ")
    records = StockRecord.objects.filter(method="counted")
    assert {found.stock for found in records} == {stock.slug for stock in registry.stocks}
    assert len({found.timestamp for found in records}) == 1
    assert records.get(stock="trial").count == 1


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("in_august")
def test_progress_goes_to_a_terminal_alone() -> None:
    err, piped = Terminal(), StringIO()
    call_command("stockandflow", "record", since="2026-07-01", stdout=StringIO(), stderr=err)
    call_command("stockandflow", "record", stdout=StringIO(), stderr=piped)
    assert "\rmembership.memberflowevent in Europe/London: " in err.getvalue()
    assert piped.getvalue() == ""


def sign_up(at: datetime) -> None:
    MemberFlowEvent.objects.create(
        tracker="membership.member",
        flow="signing-up",
        subject_id=1,
        sink="trial",
        timestamp=at,
        recorded_at=at,
        origin=Origin.IMPORT,
        facets={},
    )


@pytest.mark.usefixtures("in_august")
def test_a_final_number_is_computed_anew_on_request_alone() -> None:
    sign_up(datetime(2026, 7, 1, 12, tzinfo=UTC))
    record()
    days = FlowRecord.objects.filter(flow="signing-up", grain="day", start="2026-06-30T23:00:00Z", source="*")
    days.update(count=7)

    assert "restated" not in record(since="2026-07-01", until="2026-07-03")
    assert days.get().count == 7
    assert record(since="2026-07-01", until="2026-07-03", restate=True).endswith(
        ", 1 final number restated.\n"
    )
    assert days.get().count == 1
    assert Restatement.objects.get().cause == "recomputed"


@pytest.mark.usefixtures("in_august")
def test_levels_that_were_final_are_among_the_numbers_restated() -> None:
    StockRecord.objects.create(stock="trial", timestamp="2026-07-01T12:00:00Z", count=3)
    record(since="2026-07-01")
    levels = StockRecord.objects.filter(
        stock="trial", timestamp__in=["2026-07-05T23:00Z", "2026-07-06T23:00Z"]
    )
    assert levels.update(count=7) == 2

    said = record(since="2026-07-01", until="2026-07-09", restate=True)

    assert Restatement.objects.filter(kind="stock").count() == 2
    assert said.endswith(f", {Restatement.objects.count()} final numbers restated.\n")


def test_quiet_says_nothing_and_records() -> None:
    assert record(verbosity=0) == ""
    assert StockRecord.objects.exists()


@pytest.mark.usefixtures("in_august")
def test_since_is_a_local_day() -> None:
    sign_up(datetime(2026, 6, 20, 12, tzinfo=UTC))
    record()
    FlowRecord.objects.filter(flow="signing-up", grain="day").update(count=7)
    record(since="2026-07-01", until="2026-07-03", restate=True)

    mended = Restatement.objects.filter(slug="signing-up", grain="day").order_by("start")
    assert mended.values_list("start", flat=True)[0].isoformat() == "2026-06-30T23:00:00+00:00"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "soon"}, "since is 'soon', which is no date; write YYYY-MM-DD"),
        ({"since": "2026-07-01", "until": "2026-06-01"}, r"until \(.*\) doesn't come after since"),
        ({"until": "2026-06-01"}, "until is 2026-05-31T23:00:00.00:00 and since is missing"),
        (
            {"since": "2199-01-01"},
            r"since \(2199-01-01T00:00:00.00:00\) is in the future; it must be before now",
        ),
    ],
)
def test_a_range_that_is_none_is_told(options: dict[str, str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        record(**options)
