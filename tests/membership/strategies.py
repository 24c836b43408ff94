"""Rows and predicates for property tests: nasty values in columns of every kind, and questions about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Concat, Length, Upper
from hypothesis import strategies as st

from tests.testapp.models import Item

NASTY = (
    "",
    " ",
    "a",
    "A",
    "á",
    "a ",
    "%",
    "%s",
    "%%",
    "%(x)s",
    "_",
    "it's",
    '"quoted"',
    "`ticked`",
    "\\",
    "\\'",
    "a\\b",
    "$$",
    "$1",
    "$sf$",
    "; DROP TABLE x; --",
    "/* */",
    "{}",
    "line\nbreak",
    "tab\t",
    "ß",
    "İ",
    "ﬃ",
    "日本",
    "🦆",
    "👩‍👩‍👧",
    "now()",
    "(none)",
    "(other)",
    "NULL",
)
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
)
numbers = st.integers(-3, 3)
days = st.dates(date(2023, 12, 30), date(2024, 1, 3))
half_seconds = st.integers(-14400, 14400)
moments = half_seconds.map(lambda half: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=half / 2))
prices = st.sampled_from([Decimal(price) for price in ("-1.5", "0", "0.10", "1.5", "9.99", "10", "1234.5")])


@dataclass(frozen=True)
class Drawn:
    """Rows to write, and a question about them."""

    rows: list[dict[str, Any]]
    kind: str
    asked: Q

    def queryset(self) -> QuerySet[Item]:
        """The members, by the ORM."""
        return asked(self.kind, self.asked)


def asked(kind: str, condition: Q) -> QuerySet[Item]:
    """Items for which the condition is true, of a kind in ``KINDS``."""
    return KINDS[kind][0]().filter(condition)


def items() -> QuerySet[Item]:
    return Item.objects.all()


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


# How the queryset begins, and the condition on it, made from a value strategy of its own.
KINDS: dict[
    str, tuple[Callable[[], QuerySet[Item]], Callable[[st.SearchStrategy[str]], st.SearchStrategy[Q]]]
] = {
    "text is": (items, lambda text: text.map(lambda v: Q(text=v))),
    "text is not": (items, lambda text: text.map(lambda v: ~Q(text=v))),
    "text in": (items, lambda text: several(text).map(lambda v: Q(text__in=v))),
    "text not in": (items, lambda text: several(text).map(lambda v: ~Q(text__in=set(v)))),
    "text contains": (items, lambda text: text.map(lambda v: Q(text__contains=v))),
    "text icontains": (items, lambda text: text.map(lambda v: Q(text__icontains=v))),
    "text starts": (items, lambda text: text.map(lambda v: Q(text__startswith=v))),
    "text ends": (items, lambda text: text.map(lambda v: Q(text__iendswith=v))),
    "text iexact": (items, lambda text: text.map(lambda v: Q(text__iexact=v))),
    "text above": (items, lambda text: text.map(lambda v: Q(text__gte=v))),
    "text empty": (items, lambda text: st.booleans().map(lambda v: Q(text__isnull=v))),
    "number is": (items, lambda text: numbers.map(lambda v: Q(number=v))),
    "number between": (items, lambda text: numbers.map(lambda v: Q(number__range=(v, v + 2)))),
    "number not below": (items, lambda text: numbers.map(lambda v: ~Q(number__lt=v))),
    "number of a column": (items, lambda text: numbers.map(lambda v: Q(number__gt=F("size") + v))),
    "flag": (items, lambda text: st.booleans().map(lambda v: Q(flag=v))),
    "not flag": (items, lambda text: st.booleans().map(lambda v: ~Q(flag=v))),
    "flag empty": (items, lambda text: st.just(Q(flag=None))),
    "day since": (items, lambda text: days.map(lambda v: Q(day__gte=v))),
    "day in": (items, lambda text: several(days).map(lambda v: Q(day__in=v))),
    "day's year": (items, lambda text: st.sampled_from([2023, 2024]).map(lambda v: Q(day__year=v))),
    "moment before": (items, lambda text: moments.map(lambda v: Q(moment__lt=v))),
    "moment is": (items, lambda text: moments.map(lambda v: Q(moment=v))),
    "price is": (items, lambda text: prices.map(lambda v: Q(price=v))),
    "price above": (items, lambda text: prices.map(lambda v: Q(price__gt=v))),
    "price in": (items, lambda text: several(prices).map(lambda v: Q(price__in=v))),
    "price doubled": (
        lambda: items().alias(doubled=F("price") * 2),
        lambda text: prices.map(lambda v: Q(doubled__lte=v)),
    ),
    "owner empty": (items, lambda text: st.just(Q(owner=None))),
    "nothing": (items, lambda text: st.just(Q(pk__in=[]))),
    "everything": (items, lambda text: st.just(~Q(pk__in=[]))),
    "upper": (lambda: items().alias(up=Upper("text")), lambda text: text.map(lambda v: Q(up=v.upper()))),
    "length": (
        lambda: items().alias(size_of=Length("text")),
        lambda text: numbers.map(lambda v: Q(size_of__gt=v)),
    ),
    "coalesced": (
        lambda: items().alias(safe=Coalesce("number", Value(0))),
        lambda text: numbers.map(lambda v: Q(safe=v)),
    ),
    "joined": (
        lambda: items().alias(both=Concat(Coalesce("text", Value("%")), Value("'"))),
        lambda text: text.map(lambda v: Q(both=f"{v}'")),
    ),
    "case": (
        lambda: items().alias(
            grade=Case(
                When(number__gt=1, then=Value("high'%")), When(flag=True, then=Value("low")), default=None
            )
        ),
        lambda text: st.sampled_from(["high'%", "low"]).map(lambda v: Q(grade=v)),
    ),
}
if connection.vendor != "sqlite":
    patterns = st.sampled_from(["^a", "[%']", "\\\\"])
    KINDS["text matches"] = (items, lambda text: patterns.map(lambda v: Q(text__regex=v)))


def row_with(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """The columns of an item, each of them NULL at times."""
    return st.fixed_dictionaries(
        {
            "text": st.none() | text,
            "nick": st.none() | text,
            "number": st.none() | numbers,
            "size": st.none() | numbers,
            "flag": st.none() | st.booleans(),
            "day": st.none() | days,
            "moment": st.none() | moments,
            "price": st.none() | prices,
            "ratio": st.none() | st.sampled_from([0.0, 0.1, -2.5, 1e20, 1e-7]),
            "code": st.none() | st.sampled_from([UUID(int=0), UUID(int=2**128 - 1)]),
            "data": st.none() | st.fixed_dictionaries({"plan": text | numbers | st.booleans()}),
        }
    )


rows = row_with(texts)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """A few rows, and a condition whose values they often hold."""
    pool = draw(st.lists(texts, min_size=1, max_size=4))
    text = st.sampled_from(pool)
    row = row_with(text)
    kind = draw(st.sampled_from(sorted(KINDS)))
    condition = draw(KINDS[kind][1](text))
    plain = sorted(name for name, (start, _) in KINDS.items() if start is items)
    for join in draw(st.lists(st.sampled_from(["and", "or", "not"]), max_size=2)):
        other = draw(KINDS[draw(st.sampled_from(plain))][1](text))
        condition = condition & other if join == "and" else condition | other if join == "or" else ~condition
    return Drawn(draw(st.lists(row, max_size=5)), kind, condition)
