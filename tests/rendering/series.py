"""Series made by hand: what a renderer gets, without a database."""

from datetime import UTC, datetime

from stockandflow.periods import Calendar, Grain, Status
from stockandflow.reports import Break, Point, Series
from tests.rendering.balances import AT, stock

CALENDAR = Calendar()
_DAYS = list(CALENDAR.periods(Grain.DAY, datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 6, tzinfo=UTC)))


def five_days() -> Series:
    """A final number, two gaps, a provisional number, and the day under way, on which the definition changed."""
    first, second, third, fourth, fifth = _DAYS
    return Series(
        of=stock("Trial"),
        measure="closing",
        grain=Grain.DAY,
        calendar=CALENDAR,
        since=first.start,
        until=fifth.end,
        points=(
            Point(first.start, first.end, 1_200, Status.FINAL, computed_at=AT),
            Point(fourth.start, fourth.end, 600, Status.PROVISIONAL, computed_at=AT),
        ),
        open=Point(fifth.start, fifth.end, 0, Status.IN_PROGRESS),
        gaps=(second, third),
        breaks=(Break(fifth.start, "members whose status is 'trial'"),),
    )
