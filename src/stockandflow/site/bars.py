"""The present level of a stock by the values of its facets, as bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from stockandflow.drawing.shares import shares
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.reports import Kind, Number, StockBalance
from stockandflow.site.filters import Asked

MOST_VALUES = 6
"""Values with a bar of their own; the others share one."""


@dataclass(frozen=True)
class ValueBar:
    """How many members have one value; ``width`` is its part of the stock, in SVG."""

    name: str
    count: int
    width: str
    url: str
    """Of the list of these members, "" for none."""


@dataclass(frozen=True)
class FacetBars:
    """A stock by one of its facets."""

    name: str
    values: tuple[ValueBar, ...]


def now_bars(line: StockBalance, asked: Asked, link: Callable[[Number], str | None]) -> tuple[FacetBars, ...]:
    """The bars of each facet by which the level of now was counted, in the order declared; none for an empty stock.

    They are those of the declared values in their order, zero included, and sum to the level; beyond MOST_VALUES the
    largest have one of their own.
    """
    if not line.closing:
        return ()
    declared = [facet.slug for facet in line.stock.applied_facets if facet.slug in line.values]
    return tuple(FacetBars(asked.facets[slug], _bars(line, slug, asked, link)) for slug in declared)


def _bars(
    line: StockBalance, slug: str, asked: Asked, link: Callable[[Number], str | None]
) -> tuple[ValueBar, ...]:
    values = line.values[slug]
    own = list(values)
    if len(own) > MOST_VALUES + 1:
        largest = sorted(values, key=lambda key: (key in (OTHER, NONE), -values[key]))[:MOST_VALUES]
        own = [key for key in values if key in largest]
    rest = [key for key in values if key not in own]
    counts = [*(values[key] for key in own), *([sum(values[key] for key in rest)] if rest else [])]
    names = [asked.label(slug, key) for key in own]
    names += [_("Other, %(number)s") % {"number": len(rest)}] if rest else []
    urls = [
        link(Number(Kind.LEVEL, stock=line.stock, slice=((slug, key),), value=values[key])) or ""
        for key in own
    ]
    return tuple(map(ValueBar, names, counts, shares(counts, of=line.closing), [*urls, ""]))
