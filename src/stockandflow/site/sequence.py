"""Work through a stock: its members one after the other, from wherever one stands.

A place is kept, not an index: what an object was ordered by when it was shown. So whoever goes on comes to the next
member also where the object has left the stock meanwhile, has been changed, or is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Count, F, Field, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse

from stockandflow.declarations import Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.reports.listing import everybody
from stockandflow.site.links import read_key, written_key

AT = "at"
"""The parameter that carries the place."""
BETWEEN = "."
"""Between the parts of a place; no part holds one, and one that is empty stands for nothing."""


@dataclass(frozen=True)
class _Key:
    """One part of the order; objects without a value come last."""

    field: Field[Any, Any]
    descending: bool

    def order(self, *, forward: bool) -> Any:
        nulls: dict[str, bool] = {}
        if self.field.null:
            nulls = {"nulls_last": True} if forward else {"nulls_first": True}
        column = F(self.field.attname)
        return column.desc(**nulls) if self.descending is forward else column.asc(**nulls)

    def beyond(self, value: Any, *, forward: bool) -> Q:
        """The condition to stand after the value, or before it."""
        name = self.field.attname
        if value is None:
            return Q(pk__in=[]) if forward else Q(**{f"{name}__isnull": False})
        found = Q(**{f"{name}__{'lt' if self.descending is forward else 'gt'}": value})
        return found | Q(**{f"{name}__isnull": True}) if forward and self.field.null else found

    def same(self, value: Any) -> Q:
        return Q(**{f"{self.field.attname}__isnull": True} if value is None else {self.field.attname: value})


class StockSequencer:
    """The members of a stock in an order, to be gone through one by one.

    ``facets`` (facet slug → value key) leave those of a slice. ``order`` names columns of the model, with a hyphen in
    front for the greatest first; ties go by primary key. ``members`` takes the place of the stock's own, e.g. where a
    user sees but some of them. Raises InvalidInput for an order by anything else. No query yet.

    A *place* is a text for an address, or an object, whose place is read from its row as it is now.
    """

    def __init__(
        self,
        stock: Stock,
        *,
        facets: Mapping[str, str] | None = None,
        order: Sequence[str] = (),
        members: QuerySet[Any] | None = None,
    ) -> None:
        self.stock = stock
        if members is None:
            members = stock.members_with(facets) if facets else stock.all()
        self.members = members.order_by()
        self._keys = [*(_key(stock.model, name) for name in _names(order)), _key(stock.model, "pk")]

    def count(self) -> int:
        """How many members there are. One query."""
        return self.members.count()

    def first(self) -> Any | None:
        """The first member, None where there is none. One query."""
        return self._one(self.members, forward=True)

    def last(self) -> Any | None:
        """The last member, None where there is none. One query."""
        return self._one(self.members, forward=False)

    def next(self, place: str | Model) -> Any | None:
        """The first member after a place, None at the end. One query. Raises InvalidInput for what is no place."""
        return self._beyond(place, forward=True)

    def previous(self, place: str | Model) -> Any | None:
        """The last member before a place, None at the beginning. One query. Raises as ``next`` does."""
        return self._beyond(place, forward=False)

    def at(self, place: str | Model, *, forward: bool = True) -> Any | None:
        """The member at a place; where it has left, the next one, or the one before. One query. Raises as ``next``."""
        values = self._values(place)
        there = self._condition(values, forward=forward) | self._equal(values)
        return self._one(self.members.filter(there), forward=forward)

    def position(self, place: str | Model) -> tuple[int, int]:
        """The number of a member at a place, from 1, and how many members there are. One query."""
        before = self._condition(self._values(place), forward=False)
        found = self.members.aggregate(before=Count("pk", filter=before), all=Count("pk"))
        return found["before"] + 1, found["all"]

    def place(self, subject: Model) -> str:
        """The place of an object, for an address: what it is ordered by as it is now. No query."""
        return BETWEEN.join(
            "" if value is None else written_key(key.field, value)
            for key, value in zip(self._keys, self._values(subject), strict=True)
        )

    def _values(self, place: str | Model) -> list[Any]:
        if isinstance(place, Model):
            return [getattr(place, key.field.attname) for key in self._keys]
        parts = place.split(BETWEEN)
        nothing = [
            key for key, part in zip(self._keys, parts, strict=False) if not part and not key.field.null
        ]
        if len(parts) != len(self._keys) or nothing:
            raise InvalidInput(f"{place!r} is no place in this order; begin with the first member.")
        return [
            read_key(key.field, part) if part else None for key, part in zip(self._keys, parts, strict=True)
        ]

    def _condition(self, values: list[Any], *, forward: bool) -> Q:
        found, same = Q(pk__in=[]), Q()
        for key, value in zip(self._keys, values, strict=True):
            found |= same & key.beyond(value, forward=forward)
            same &= key.same(value)
        return found

    def _equal(self, values: list[Any]) -> Q:
        found = Q()
        for key, value in zip(self._keys, values, strict=True):
            found &= key.same(value)
        return found

    def _beyond(self, place: str | Model, *, forward: bool) -> Any | None:
        return self._one(
            self.members.filter(self._condition(self._values(place), forward=forward)), forward=forward
        )

    def _one(self, members: QuerySet[Any], *, forward: bool) -> Any | None:
        return members.order_by(*(key.order(forward=forward) for key in self._keys)).first()


def _names(order: Sequence[str]) -> Sequence[str]:
    if isinstance(order, str):
        raise InvalidInput(f"order is {order!r}; write a list of columns, e.g. [{order!r}].")
    return order


def _key(model: type[Model], name: str) -> _Key:
    plain = name.removeprefix("-")
    try:
        field: Any = model._meta.pk if plain == "pk" else model._meta.get_field(plain)
    except FieldDoesNotExist:
        field = None
    if field is None or not field.concrete or field.many_to_many:
        known = ", ".join(repr(one.name) for one in model._meta.concrete_fields)
        raise InvalidInput(f"order has {name!r}, which is no column of {model._meta.label}; it has {known}.")
    return _Key(field, name.startswith("-"))


@dataclass(frozen=True)
class Work:
    """Where one stands while working through a stock: ``number`` of ``count``, and the members beside it."""

    number: int
    count: int
    previous: Any | None
    next: Any | None
    place: str
    previous_place: str
    next_place: str


def work_at(sequencer: StockSequencer, subject: Model) -> Work:
    """Where an object stands, also one that has left the stock. Three queries."""
    number, count = sequencer.position(subject)
    previous, following = sequencer.previous(subject), sequencer.next(subject)
    return Work(
        number,
        count,
        previous,
        following,
        sequencer.place(subject),
        "" if previous is None else sequencer.place(previous),
        "" if following is None else sequencer.place(following),
    )


def next_in_stock(
    request: HttpRequest,
    stock: Stock,
    *,
    object_view: Any,
    stop_iteration_view: Any,
    current_object_id: Any = None,
    current_slug: str | None = None,
    slug_field: str = "slug",
    reverse_args: Sequence[Any] = (),
    reverse_kwargs: Mapping[str, Any] | None = None,
    is_forward: bool = True,
    facets: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
    members: QuerySet[Any] | None = None,
) -> HttpResponseRedirect:
    """Redirect to the view of the next member of a stock, or of the one before; to another view at the end.

    The current object is known by its id, or by a slug in ``slug_field``; without either it begins with the first. The
    views are functions or names, as ``reverse()`` takes them; the one of the object gets ``object_id``, or the slug
    under the name of its field, beside ``reverse_kwargs``. All parameters of the request go along, and with them
    ``at``, the place: with it the way goes on from where the object stood when it was shown, whatever has become of
    it. ``facets``, ``order`` and ``members`` are those of StockSequencer. Two queries at most.
    """
    sequencer = StockSequencer(stock, facets=facets, order=order, members=members)
    by_slug = current_slug is not None
    at = request.GET.get(AT, "")
    if not by_slug and at.split(BETWEEN)[-1] != written_key(stock.model._meta.pk, current_object_id):
        at = ""  # it is of another object
    if current_object_id is None and not by_slug:
        found = sequencer.first() if is_forward else sequencer.last()
    else:
        where = {slug_field: current_slug} if by_slug else {"pk": current_object_id}
        there = everybody(stock.model, sequencer.members.db)
        place: str | Model | None = at or there.filter(**where).first()
        if place is None:  # it is gone, and nobody told where it stood
            found = sequencer.first() if is_forward else sequencer.last()
        else:
            found = sequencer.next(place) if is_forward else sequencer.previous(place)
    parameters, named = request.GET.copy(), dict(reverse_kwargs or {})
    parameters.pop(AT, None)
    if found is None:
        address = reverse(stop_iteration_view, args=reverse_args, kwargs=named or None)
    else:
        parameters[AT] = sequencer.place(found)
        named[slug_field if by_slug else "object_id"] = getattr(found, slug_field) if by_slug else found.pk
        address = reverse(object_view, args=reverse_args, kwargs=named)
    return redirect(f"{address}?{parameters.urlencode()}" if parameters else address)
