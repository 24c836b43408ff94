"""Numbers, changes and ranges in the words of every report: the signs, the rounding, which day is the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from stockandflow.periods import Calendar, Status
from stockandflow.ranges import is_midnight, last_date
from stockandflow.reports import FlowLine

NEW_YEAR = timedelta(days=100)
"""A range over New Year that is shorter, such as a week or a quarter, is clear from its last year alone."""


@dataclass(frozen=True)
class Signs:
    """The characters that carry meaning; each list of signs is for one kind of output."""

    minus: str = "−"
    up: str = "▲"
    down: str = "▼"
    same: str = "■"
    dash: str = "–"
    dot: str = "·"
    rule: str = "─"
    ellipsis: str = "…"
    bar: str = "▏▎▍▌▋▊▉█"
    """The parts of one full character, smallest first."""

    @classmethod
    def ascii(cls) -> Signs:
        """For output that can hold no more than ASCII."""
        return cls("-", "^", "v", "=", "-", "|", "-", "...", "#")

    @classmethod
    def for_encoding(cls, encoding: str | None) -> Signs:
        """The signs of Unicode where that encoding can hold them all, else those of ASCII; None holds anything."""
        signs = cls()
        try:
            "".join(vars(signs).values()).encode(encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return cls.ascii()
        return signs


UNICODE = Signs()


def grouped(number: float, decimals: int = 0) -> str:
    """A number of zero or more with commas between thousands, whatever the locale."""
    return f"{number:,.{decimals}f}"


Group = Callable[[float, int], str]


def count(number: int | None, signs: Signs = UNICODE, group: Group = grouped) -> str:
    """A count, which may be part of a sum and negative; a dash for one that isn't known."""
    if number is None:
        return signs.dash
    return f"{signs.minus if number < 0 else ''}{group(abs(number), 0)}"


def signed(number: int | None, signs: Signs = UNICODE, group: Group = grouped) -> str:
    """A number with its sign always shown, but 0 without."""
    return f"{'+' if number and number > 0 else ''}{count(number, signs, group)}"


def negated(number: int | None) -> int | None:
    """A number as it counts in a sum that it is taken from."""
    return None if number is None else -number


def arrow(change: int | None, signs: Signs = UNICODE) -> str:
    """The direction of a change; nothing where it isn't known."""
    if change is None:
        return ""
    return signs.up if change > 0 else signs.down if change < 0 else signs.same


def percent(
    opening: int | None, closing: int | None, group: Group = grouped, *, from_zero: str = "from 0"
) -> str:
    """How much ``closing`` differs from ``opening``, without its sign: ``6.1 %``.

    A change that rounds to nothing is ``<0.1 %``, one beyond all comparison ``>9,999 %``, from 1,000 % on there are no
    decimals, and from nothing there is no percentage: ``from_zero``. Nothing where one of the two isn't known.
    """
    if opening is None or closing is None:
        return ""
    change = abs(closing - opening)
    if not change:
        return f"{group(0, 1)} %"
    if opening <= 0:
        return from_zero if opening == 0 else ""
    share = change / opening * 100
    if share < 0.05:
        return f"<{group(0.1, 1)} %"
    if share >= 9_999.5:
        return f">{group(9_999, 0)} %"
    return f"{group(share, 0 if share >= 999.95 else 1)} %"


def bar(share: float, columns: int, signs: Signs = UNICODE) -> str:
    """A bar for a share of ``columns``, above 0: at least the smallest part of one."""
    parts = signs.bar
    whole, part = divmod(max(1, round(share * columns * len(parts))), len(parts))
    return parts[-1] * whole + (parts[part - 1] if part else "")


def largest_first(lines: Iterable[FlowLine]) -> list[FlowLine]:
    """The lines by their count, equal ones in the order given; moves that no flow covers come last."""
    return sorted(lines, key=lambda line: (line.flow is None, -line.count))


def said(status: Status) -> str:
    """A status in words: ``in progress``."""
    return status.value.replace("_", " ")


ORIGINS = {"import": "imported", "sweep": "found by a sweep", "live": "written as they happened"}
"""Origin of moves → what is said of them."""


def how_written(
    origins: Mapping[str, int],
    signs: Signs = UNICODE,
    group: Group = grouped,
    words: Mapping[str, str] = ORIGINS,
) -> str:
    """How the moves came to be known, e.g. ``9 imported, 120 written as they happened``; "" where all were live."""
    if not any(origins.get(origin) for origin in words if origin != "live"):
        return ""
    found = [(origins.get(origin, 0), said) for origin, said in words.items()]
    return ", ".join(f"{count(number, signs, group)} {said}" for number, said in found if number)


def day(value: date) -> str:
    """A date as ``25 Oct 2026``, in English whatever the locale."""
    return f"{value.day} {value:%b %Y}"


Day = Callable[[date], str]
"""A date in words, its year last."""


def moment(at: datetime, calendar: Calendar, *, seconds: bool = False, name: Day = day) -> str:
    """A local date and time as ``25 Oct 2026, 14:30``, or with its seconds as ``25 Oct 2026, 14:30:07``."""
    local = at.astimezone(calendar.zone)
    return f"{name(local.date())}, {local.time().isoformat('seconds' if seconds else 'minutes')}"


def span(
    since: datetime, until: datetime, calendar: Calendar, signs: Signs = UNICODE, name: Day = day
) -> str:
    """A range as a person says it: its first and its last day, or its first and last moment when it cuts a day."""
    if not (is_midnight(since, calendar) and is_midnight(until, calendar)):
        if calendar.local_date(since) == last_date(until, calendar):
            end = "24:00" if is_midnight(until, calendar) else f"{until.astimezone(calendar.zone):%H:%M}"
            return f"{moment(since, calendar, name=name)} {signs.dash} {end}"
        ends = (moment(at, calendar, name=name) for at in (since, until))
        return f" {signs.dash} ".join(ends)
    first, last = calendar.local_date(since), last_date(until, calendar)
    if first == last:
        return name(first)
    begin = name(first)
    if first.year == last.year:
        begin = f"{first.day}" if first.month == last.month else begin.removesuffix(f" {first.year}")
    return f"{begin} {signs.dash} {name(last)}"


def periods(
    ranges: Iterable[tuple[datetime, datetime]], calendar: Calendar, signs: Signs = UNICODE
) -> list[str]:
    """Each range as ``period`` says it, shorter where its neighbours tell the rest.

    The year is left out where all have the same, and the first one of a range over New Year: ``29 Dec – 4 Jan 2027``.
    """
    ranges = list(ranges)
    days = [(calendar.local_date(since), last_date(until, calendar)) for since, until in ranges]
    years = {day.year for both in days for day in both}
    year = f" {min(years)}" if len(years) == 1 else ""
    names = []
    for (since, until), (first, last) in zip(ranges, days, strict=True):
        name = period(since, until, calendar, signs).removesuffix(year)
        if last - first < NEW_YEAR:
            name = name.replace(f" {first.year} {signs.dash}", f" {signs.dash}")
        names.append(name)
    return names


def period(since: datetime, until: datetime, calendar: Calendar, signs: Signs = UNICODE) -> str:
    """A range by its months where it is whole ones, ``Oct 2026``, ``Oct – Dec 2026`` or ``2026``; else as ``span``."""
    if not all(is_midnight(at, calendar) and calendar.local_date(at).day == 1 for at in (since, until)):
        return span(since, until, calendar, signs)
    first, last = calendar.local_date(since), last_date(until, calendar)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%b %Y}"
    if first.year != last.year:
        return f"{first:%b %Y} {signs.dash} {last:%b %Y}"
    if (first.month, last.month) == (1, 12):
        return str(first.year)
    return f"{first:%b} {signs.dash} {last:%b %Y}"
