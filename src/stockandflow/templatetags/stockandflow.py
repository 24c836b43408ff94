"""``{% load stockandflow %}``: numbers, changes and ranges as the pages show them, by the reader's locale."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django import template
from django.db.models import Model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from stockandflow.declarations import Process, Stock
from stockandflow.drawing.diagram import in_svg
from stockandflow.periods import Calendar
from stockandflow.ranges import is_midnight, last_date
from stockandflow.rendering import words
from stockandflow.reports import Balance, FlowLine, Number, StockBalance
from stockandflow.site import frames, links, naming
from stockandflow.site.sequence import StockSequencer, Work, work_at
from stockandflow.site.words import grouped, hidden

register = template.Library()


@register.filter
def count(number: int | None) -> str:
    """A count: ``4,445``."""
    return words.count(number, group=grouped)


@register.filter
def px(length: float) -> str:
    """A length in SVG, whatever the locale: ``12.5``."""
    return in_svg(length)


@register.filter
def signed(number: int | None) -> str:
    """A number with its sign always shown, but 0 without: ``+1,289``, ``−3``."""
    return words.signed(number, group=grouped)


@register.filter
def negative(number: int | None) -> str:
    """What goes out, as it counts in the sum: ``−1,280``."""
    return words.signed(words.negated(number), group=grouped)


def _written(number: int | None, how: str) -> str:
    if how == "negative":
        return negative(number)
    return signed(number) if how == "signed" else count(number)


@register.filter
def arrow(change: int | None) -> str:
    """The direction of a change: ▲, ▼ or ■."""
    return words.arrow(change)


@register.filter
def direction(change: int | None) -> str:
    """The direction of a change in a word, for those who hear the page."""
    if change is None:
        return _("unknown")
    return _("up") if change > 0 else _("down") if change < 0 else _("unchanged")


@register.filter
def changed(line: StockBalance) -> str:
    """How much a stock changed, with the sign: ``+257 (6.1 %)``."""
    share = percent(line)
    return f"{signed(line.change)} ({share})" if share else signed(line.change)


@register.simple_tag
def change(by: int | None, text: str, stock: Stock | None = None) -> str:
    """A change with its direction, and for the better or the worse where the stock says which way is better.

    Never by colour alone: the arrow has a ring where it is better, a disc where it is worse.
    """
    verdict = stock.judged(by) if stock else ""
    word = {"better": _("better"), "worse": _("worse"), "": ""}[verdict]
    known = ", ".join(filter(None, (direction(by), word)))
    return format_html(
        '<span class="sf-change{}"{}><span class="sf-arrow" aria-hidden="true">{}</span> '
        '<span class="sf-hidden">{}</span>{}</span>',
        f" sf-{verdict}" if verdict else "",
        format_html(' title="{}"', word) if word else "",
        arrow(by),
        known,
        text,
    )


@register.filter
def percent(line: StockBalance) -> str:
    """How much a stock changed, without the sign: ``6.1 %``."""
    return words.percent(line.opening, line.closing, group=grouped, from_zero=_("from 0"))


@register.filter
def how_written(origins: Mapping[str, int]) -> str:
    """How the moves came to be known: ``9 imported, 120 written as they happened``; nothing where all were live."""
    said = {"import": _("imported"), "sweep": _("found by a sweep"), "live": _("written as they happened")}
    return words.how_written(origins, group=grouped, words=said)


@register.filter
def bars_of(line: StockBalance, bars: Mapping[Stock, Any]) -> Any:
    """The bars of a line's stock."""
    return bars.get(line.stock, ())


@register.filter
def breakable(name: str) -> str:
    """A dotted path as HTML that may be broken after its dots and underscores, and nowhere else first."""
    return format_html_join("", "{}<wbr>", ((part,) for part in re.findall(r"[^._]+[._]?|[._]", name)))


@register.filter
def place(name: str) -> str:
    """The name of a source or a sink in the reader's language."""
    return naming.place_name(name)


@register.filter
def flow(name: str) -> str:
    """The name of a flow in the reader's language."""
    return naming.flow_name(str(name))


@register.filter
def last_line(text: str) -> str:
    """The last line of a traceback, which says what was wrong."""
    return text.strip().rpartition("\n")[2]


@register.filter
def untracked(balance: Balance) -> list[str]:
    """The names of the stocks that stand in no tracker."""
    return [line.stock.name for line in balance.stocks if not line.tracked and not line.suppressed]


@register.filter
def counted_once(balance: Balance) -> list[str]:
    """The names of the stocks whose levels one count tells."""
    return [stock.name for stock in balance.counted_once]


@register.filter
def derived(balance: Balance, when: str) -> bool:
    """Whether an ``opening`` or a ``closing`` level was carried there by events, not counted at that very instant."""
    methods = {"opening": [line.opening_method for line in balance.stocks]}
    methods["closing"] = [line.closing_method for line in balance.stocks]
    return "derived" in methods[when]


@register.simple_tag(takes_context=True)
def page_url(context: Mapping[str, Any], name: str, *args: str) -> str:
    """The address of a page where this one stands, alone or in an admin site: ``{% page_url "index" %}``."""
    return frames.page_url(context["request"], name, *args)


@register.simple_tag(takes_context=True)
def objects_url(context: Mapping[str, Any], number: Number, process: Process) -> str:
    """The address of the list behind a number, where this page stands: ``{% objects_url number process %}``."""
    return links.objects_url(number, process, context["request"])


@register.simple_tag(takes_context=True)
def number(
    context: Mapping[str, Any],
    balance: Balance,
    line: StockBalance | FlowLine,
    name: str,
    written: str = "count",
) -> str:
    """A number of a report, linked to the objects behind it where the reader may see them.

    ``name`` is that of ``Balance.number``, ``written`` one of ``count``, ``signed`` and ``negative``. ``link`` of the
    context gives the address.
    """
    if isinstance(line, StockBalance) and line.suppressed:
        return format_html('<span class="sf-muted">{}</span>', hidden(line, name))
    found: int | None = getattr(line, name)
    text = _written(found, written)
    url = context["link"](balance.number(line, name)) if found else None
    return format_html('<a class="sf-number" href="{}">{}</a>', url, text) if url else text


@register.simple_tag
def was(balance: Balance, line: StockBalance, name: str, written: str = "count") -> str:
    """What the number was in the range that this one is compared with: ``was 1,204``; "" where none is known."""
    other = balance.compared
    same = next((one for one in other.stocks if one.stock == line.stock), None) if other else None
    found = getattr(same, name) if same and not same.suppressed else None
    if found is None:
        return ""
    text = _written(found, written)
    return format_html('<small class="sf-was">{}</small>', _("was %(number)s") % {"number": text})


@register.simple_tag
def work_through(stock: Stock, subject: Model, *order: str) -> Work:
    """Where one stands in a stock: ``{% work_through stock member "joined_at" as work %}``. Three queries."""
    return work_at(StockSequencer(stock, order=order), subject)


@register.simple_tag
def day(at: datetime, calendar: Calendar) -> str:
    """The local day of an instant: ``25 October``, with its year where that isn't this one."""
    return _day_name(calendar.local_date(at), calendar)


@register.simple_tag
def last_day(until: datetime, calendar: Calendar) -> str:
    """The last local day that a range touches which ends at an instant, excluded."""
    return _day_name(last_date(until, calendar), calendar)


def _day_name(day: date, calendar: Calendar) -> str:
    is_of_this_year = day.year == calendar.local_date(timezone.now()).year
    return date_format(day, "MONTH_DAY_FORMAT" if is_of_this_year else "DATE_FORMAT")


@register.simple_tag
def moment(at: datetime, calendar: Calendar, *, seconds: bool = False) -> str:
    """The local date and time of an instant, with its seconds if wanted."""
    local = at.astimezone(calendar.zone)
    if seconds:
        return f"{date_format(local, 'DATE_FORMAT')} {local:%H:%M:%S}"
    return date_format(local, "DATETIME_FORMAT")


@register.simple_tag
def span(since: datetime, until: datetime, calendar: Calendar) -> str:
    """A range by its first and last day, or by its first and last moment where it cuts a day."""
    if not (is_midnight(since, calendar) and is_midnight(until, calendar)):
        return f"{moment(since, calendar)} – {moment(until, calendar)}"
    first, last = calendar.local_date(since), last_date(until, calendar)
    days = [date_format(day, "DATE_FORMAT") for day in dict.fromkeys((first, last))]
    return " – ".join(days)
