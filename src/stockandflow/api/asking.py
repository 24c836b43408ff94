"""What the parameters of the API ask for, and the bounds of what can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _

from stockandflow.api.refusals import Refused, invalid
from stockandflow.declarations import Flow, Process, Stock
from stockandflow.periods import Grain
from stockandflow.site.filters import Asked, read_filters
from stockandflow.site.naming import meant
from stockandflow.site.words import grouped

RANGE = ("range", "since", "until")
MOST_ROWS = 25_000
"""So many are in one answer: a year of days of a process with five stocks and twelve flows has 23,000."""

Declared = TypeVar("Declared", Stock, Flow)


def read(
    request: HttpRequest, process: Process, now: datetime, known: Iterable[str], *, hours: bool = False
) -> Asked:
    """What is asked, by ``RANGE`` and the parameters known. Raises Refused with all that can't be understood."""
    known = [*RANGE, *known]
    wrong = strays(request.GET, known)
    asked = read_filters(request.GET, process, now, hours=hours, errors=wrong)
    wrong |= asked.errors
    if wrong:
        raise invalid(wrong)
    return asked


def strays(parameters: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """Parameter → what is wrong with it, of those that there aren't; ``facet-`` stands for all facets."""
    known = list(known)
    names = [f"{name}<slug>" if name == "facet-" else name for name in known]
    return {
        name: _("There is no parameter %(name)r here; there are %(known)s.")
        % {"name": name, "known": ", ".join(names)}
        for name in parameters
        if name not in known and not (name.startswith("facet-") and "facet-" in known)
    }


def grain_of(request: HttpRequest, asked: Asked) -> Grain:
    """The grain that was asked for, however many periods there are, else the one that suits the range."""
    given = request.GET.get("per", "").strip()
    return Grain(given) if given in list(Grain) else asked.grain


def declared(process: Process, kind: str, known: Iterable[Declared], slug: str) -> Declared:
    """The stock or flow of the process with that slug. Raises Http404, which names those there are."""
    by_slug = {one.slug: one for one in known}
    if slug in by_slug:
        return by_slug[slug]
    none = {
        "stock": _("There is no stock %(slug)r in the process %(process)r."),
        "flow": _("There is no flow %(slug)r in the process %(process)r."),
    }[kind]
    text = none % {"slug": slug, "process": process.slug}
    there = _("There are %(known)s.") % {"known": ", ".join(map(repr, by_slug))} if by_slug else ""
    raise Http404(" ".join(filter(None, (text, meant(slug, by_slug), there))))


def uncounted(broken: Iterable[Stock]) -> list[dict[str, str]]:
    """What an answer says of the stocks of a process that can't be counted."""
    return [
        {
            "stock": stock.slug,
            "name": str(stock.name),
            "message": _("This stock can't be counted, so it is left out. The server's log says why."),
        }
        for stock in broken
    ]


def whole_number(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    """The number that a parameter holds, 1 to ``most``. Raises Refused."""
    text = parameters.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        told = _("%(name)s is %(given)r; write a whole number from 1 to %(most)s.")
        raise invalid({name: told % {"name": name, "given": text, "most": grouped(most, 0)}})
    return int(text)


def checked_rows(number: int) -> None:
    """Raises Refused where an answer would have more than MOST_ROWS."""
    if number > MOST_ROWS:
        raise Refused(
            400,
            "too-many",
            _(
                "The answer would have %(number)s rows, and %(most)s are the most; ask for a shorter range, a coarser "
                "grain, or without a split."
            )
            % {"number": grouped(number, 0), "most": grouped(MOST_ROWS, 0)},
        )
