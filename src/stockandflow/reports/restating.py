"""Which restatements stand behind numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Q

from stockandflow.declarations import Process
from stockandflow.models import ALL, Restatement
from stockandflow.periods import Period
from stockandflow.reports.planning import runs


def in_force(
    process: Process, periods: Collection[Period], instants: Iterable[datetime], facet: str = ""
) -> list[Restatement]:
    """The last restatement of each number of the process in these periods, and at these instants, newest first.

    Those of the facet's values where one is given, else those of the whole. One query.
    """
    slugs = [stock.slug for stock in process.stocks]
    wanted = Q(kind="stock", slug__in=slugs, start__in=sorted(instants))
    when = Q()
    for grain, low, high in runs(periods):
        when |= Q(grain=grain.value, start__gte=low, start__lt=high)
    if when:
        whose = Q(source__in=slugs) | Q(sink__in=slugs)
        wanted |= Q(kind="flow", calendar=process.calendar.key) & when & whose & ~Q(source=ALL)
    found: dict[tuple[object, ...], Restatement] = {}
    for one in Restatement.objects.filter(wanted, facet=facet).order_by("-at", "-id"):
        found.setdefault((one.kind, one.slug, one.source, one.sink, one.grain, one.start, one.value), one)
    return list(found.values())
