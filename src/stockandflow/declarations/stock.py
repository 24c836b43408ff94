"""Stocks: named querysets, counted over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Manager, Model, QuerySet

from stockandflow.declarations.facet import AppliedFacet, Facet, applied
from stockandflow.declarations.home import Home
from stockandflow.declarations.slugs import checked_slug
from stockandflow.exceptions import DeclarationError, InvalidInput, NotRegistered, UnknownSlug
from stockandflow.membership.counting import CountRequest, FacetRequest
from stockandflow.membership.predicate import reason_not_local
from stockandflow.membership.words import describe, sql_of

if TYPE_CHECKING:
    from stockandflow.declarations.flow import Flow
    from stockandflow.declarations.tracker import ModelTracker
    from stockandflow.models import StockRecord
    from stockandflow.registry import Registry

Better = Literal["up", "down"]
"""Which way a count should go."""


@dataclass(frozen=True, eq=False)
class Stock:
    """A named queryset whose members are counted over time, e.g. the active subscriptions.

    ``facets`` are Facets, or tuples (Facet, field_prefix) where the facet describes a related object: with the
    prefix ``"profile"`` the lookup ``"country"`` becomes ``"profile__country"``. Building a stock makes no query.

    ``before_recording`` are called with the stock before it is counted for a record, ``after_recording`` with the stock
    and the record once that is committed. One that raises is logged and stops neither the count nor the others.

    ``better`` says which way the count should go, ``"up"`` or ``"down"``: then pages tell a change for the better from
    one for the worse. None leaves that open. It isn't part of what the stock means.

    Two stocks are never equal; a stock can be a key of a dict.
    """

    slug: str
    name: str
    queryset: QuerySet[Any]
    facets: Sequence[AppliedFacet | Facet | tuple[Facet, str]] = ()
    description: str = ""
    before_recording: Sequence[Callable[[Stock], object]] = ()
    after_recording: Sequence[Callable[[Stock, StockRecord], object]] = ()
    better: Better | None = None
    home: Home = field(default_factory=Home, init=False, repr=False)

    def __post_init__(self) -> None:
        checked_slug("stock", self.slug)
        queryset: Any = self.queryset
        if isinstance(queryset, Manager):
            queryset = queryset.all()
            object.__setattr__(self, "queryset", queryset)
        if not isinstance(queryset, QuerySet):
            raise DeclarationError(
                f"The stock {self.slug!r} has {queryset!r} as its queryset; write a queryset of objects, e.g. "
                "Subscription.objects.filter(status='active')."
            )
        wrong = None
        if queryset.query.combinator:
            wrong = f"is a {queryset.query.combinator}; write one filter with Q(…) | Q(…)"
        elif queryset.query.is_sliced:
            wrong = "is sliced, and the members of a stock can't depend on an order; write a filter"
        elif getattr(queryset, "_fields", None) is not None:
            wrong = "gives values; a stock holds objects, so leave .values() out"
        if wrong:
            raise DeclarationError(f"The queryset of the stock {self.slug!r} {wrong}.")
        object.__setattr__(self, "facets", applied(f"The stock {self.slug!r}", self.facets))
        for name in ("before_recording", "after_recording"):
            functions = getattr(self, name)
            if not isinstance(functions, Sequence) or not all(map(callable, functions)):
                raise DeclarationError(
                    f"The stock {self.slug!r} has {name}={functions!r}; write a list of functions of (stock"
                    f"{', record' if name == 'after_recording' else ''})."
                )
            object.__setattr__(self, name, tuple(functions))
        _checked_better(f"The stock {self.slug!r}", self.better)

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Stock {self.slug}>"

    @classmethod
    def for_choices(
        cls,
        model: type[Model],
        field_name: str,
        *,
        prefix: str | None = None,
        facets: Sequence[Facet | tuple[Facet, str]] = (),
        better: Mapping[Any, Better] | None = None,
    ) -> list[Stock]:
        """One stock for every choice of a field, in the field's order: a whole dimension.

        Slugs are ``prefix`` + the value; the prefix is the model's name and a hyphen unless given. Names are the
        choices' labels, and ``better`` is value → which way its count should go. Objects whose field is NULL are in
        none of them. Raises DeclarationError for a field that has no choices, or whose values give one slug twice, and
        for a ``better`` of a value that is no choice.
        """
        field_label = f"{model._meta.label}.{field_name}"
        try:
            column: Any = model._meta.get_field(field_name)
        except FieldDoesNotExist as error:
            names = ", ".join(repr(one.name) for one in model._meta.fields if one.choices)
            raise DeclarationError(
                f"There is no field {field_label}; the fields of {model.__name__} with choices are {names or 'none'}."
            ) from error
        choices = [(value, label) for value, label in getattr(column, "flatchoices", ()) if value is not None]
        if not choices:
            raise DeclarationError(
                f"{field_label} has no choices; declare its stocks one by one, or give the field choices."
            )
        should = {} if better is None else better
        if not isinstance(should, Mapping) or (stray := [one for one in should if one not in dict(choices)]):
            told = f"has {stray[0]!r} in better" if isinstance(should, Mapping) else f"has better={better!r}"
            raise DeclarationError(
                f"Stock.for_choices of {field_label} {told}; write a dict of choice → 'up' or 'down', of the choices "
                f"{', '.join(repr(value) for value, _ in choices)}."
            )
        start = f"{model._meta.model_name}-" if prefix is None else prefix
        by_slug: dict[str, Stock] = {}
        for value, label in choices:
            stock = cls(
                slug=f"{start}{_slug_part(value)}",
                name=str(label),
                queryset=model._default_manager.filter(**{field_name: value}),
                facets=facets,
                better=should.get(value),
            )
            if by_slug.setdefault(stock.slug, stock) is not stock:
                raise DeclarationError(
                    f"Two choices of {field_label} give the slug {stock.slug!r}, the second is {value!r}; declare its "
                    "stocks one by one, with slugs of your own."
                )
        return list(by_slug.values())

    @property
    def model(self) -> type[Model]:
        """The model of the members."""
        model: type[Model] = self.queryset.model
        return model

    subject_model = model

    def judged(self, change: int | None) -> Literal["better", "worse", ""]:
        """Whether a change of the count is for the better; "" where there is none, or ``better`` leaves it open."""
        if not change or self.better is None:
            return ""
        return "better" if (change > 0) == (self.better == "up") else "worse"

    @property
    def applied_facets(self) -> tuple[AppliedFacet, ...]:
        """The facets with their prefixes, in declared order."""
        return tuple(self.facets)  # type: ignore[arg-type]

    @property
    def definition(self) -> str:
        """The definition of membership in words, e.g. ``subscriptions whose status is Active``."""
        return describe(self.queryset)

    @property
    def sql(self) -> str:
        """The definition of membership as SQL, for reading only. Opens the connection."""
        return sql_of(self.queryset)

    def all(self) -> QuerySet[Any]:
        """The members now, each once: a fresh queryset. The length of this list is ``count()``.

        A queryset with joins or subqueries is asked by primary key: its methods stay, its order and annotations don't.
        """
        if reason_not_local(self.queryset) is None:
            return self.queryset.all()
        return self._everybody().filter(pk__in=self.queryset.order_by().values("pk"))

    def _everybody(self) -> QuerySet[Any]:
        # Not by a manager, which may leave rows out.
        queryset: Any = self.queryset
        everybody: QuerySet[Any] = type(queryset)(self.model, using=queryset._db)
        return everybody

    def members(self, at: datetime | None = None) -> QuerySet[Any]:
        """The members now, as ``all()``, or those at a past instant, told by events; moves at that instant count.

        Only objects that still exist can be listed: ``count(at=…)`` counts the others too, and ``member_keys(at=…)``
        has the keys of all. Raises InvalidInput for an instant that is naive, to come, or before the tracker's history
        is exact (see ``ModelTracker.exact_since``), and for a stock of no tracker; NotRegistered as ``registry`` does.
        """
        if at is None:
            return self.all()
        events: Any = self._tracker.events._meta
        key = events.get_field("subject").target_field.name
        return self._everybody().filter(**{f"{key}__in": self.member_keys(at=at)})

    def member_keys(self, *, at: datetime) -> QuerySet[Any]:
        """The keys of the members at a past instant, also of those that are gone by now, in no order.

        Raises as ``members(at=…)`` does. Four queries, and one when it is evaluated.
        """
        standing: QuerySet[Any] = self._tracker.events.standing(self._tracker, self.slug, at)
        return standing.values_list("subject_id", flat=True)

    def count(self, at: datetime | None = None) -> int:
        """How many members there are now; one query. Or how many there were at a past instant, told by events.

        Moves at that instant count, and so do objects that are gone by now. Raises as ``members(at=…)`` does.
        One query, and four for how far back the events tell it.
        """
        return (self.all().order_by() if at is None else self.member_keys(at=at)).count()

    @property
    def _tracker(self) -> ModelTracker:
        tracker = self.registry.tracker_of(self)
        if tracker is None:
            raise InvalidInput(
                f"The stock {self.slug!r} is in no tracker, so no events tell its past; ask without 'at', or put it "
                "into a ModelTracker."
            )
        return tracker

    def get_facet(self, facet_slug: str) -> AppliedFacet:
        """The facet with that slug; raises UnknownSlug, naming this stock's facets."""
        for facet in self.applied_facets:
            if facet.slug == facet_slug:
                return facet
        raise UnknownSlug(
            f"facet of the stock {self.slug!r}", facet_slug, [facet.slug for facet in self.applied_facets]
        )

    def faceted_qs(self, facet_slug: str, value: Any) -> QuerySet[Any]:
        """The members that have this value of the facet; None asks for NULL.

        A text may be the value, its label, or its key as records keep it (``(none)``, ``(other)``). Raises UnknownSlug
        for a facet that this stock doesn't have, and UnknownFacetValue for a value that the facet doesn't have.
        """
        column = self.get_facet(facet_slug).column(self.model)
        return self.members_with({facet_slug: value if isinstance(value, str) else column.key(value)})

    def members_with(self, slices: Mapping[str, str]) -> QuerySet[Any]:
        """The members with these facet values: facet slug → value key, as records keep it (``(none)``, ``(other)``).

        The number beside a value is the length of this list. Raises UnknownSlug or UnknownFacetValue. One query for
        each facet whose values are a queryset, else none.
        """
        members = self.all()
        for slug, key in slices.items():
            facet = self.get_facet(slug)
            condition = facet.condition(self.model, key)
            if facet.column(self.model).multi_valued:
                members = members.filter(pk__in=self._everybody().filter(condition).values("pk"))
            else:
                members = members.filter(condition)
        return members

    def count_request(self) -> CountRequest:
        """What counting needs to know. No query; raises FieldError when a facet's lookup doesn't resolve."""
        return CountRequest(
            slug=self.slug,
            queryset=self.queryset,
            facets=[
                FacetRequest(facet.slug, facet.column(self.model), facet.facet.choices)
                for facet in self.applied_facets
            ],
        )

    def most_recent_record(self) -> StockRecord | None:
        """The latest stored count, None if there is none. One query."""
        record: Any = apps.get_model("stockandflow", "StockRecord")._default_manager.filter(stock=self.slug)
        latest: StockRecord | None = record.order_by("-timestamp").first()
        return latest

    def save_count(self, at: datetime | None = None) -> StockRecord:
        """Count now and store the record with its facets under ``at`` (default: the database's now).

        Twice for one instant keeps one record. To record many stocks in one snapshot use ``stockandflow record``.
        """
        take: Any = apps.get_model("stockandflow", "StockRecord")._default_manager
        record: StockRecord = take.take([self], at=at)[0]
        return record

    # Neighbours: known once the stock is registered.

    @property
    def is_registered(self) -> bool:
        """Whether the stock's neighbours are known."""
        return self.home.registry is not None

    @property
    def registry(self) -> Registry:
        """The registry that answers for the stock's neighbours; raises NotRegistered before one has taken it."""
        registry = self.home.registry
        if registry is None:
            raise NotRegistered(
                f"The stock {self.slug!r} isn't registered, so its flows and its past aren't known; pass it, its "
                "tracker or its process to register() first."
            )
        return registry

    @property
    def inflows(self) -> list[Flow]:
        """The flows that have this stock as a sink, in registered order."""
        return self.registry.inflows(self)

    @property
    def outflows(self) -> list[Flow]:
        """The flows that have this stock as a source, in registered order."""
        return self.registry.outflows(self)

    def flows_into(self) -> dict[Flow, QuerySet[Any]]:
        """Each inflow with its events into this stock; no query until one is evaluated."""
        return {flow: flow.all(sink=self) for flow in self.inflows}

    def flows_outfrom(self) -> dict[Flow, QuerySet[Any]]:
        """Each outflow with its events out of this stock; no query until one is evaluated."""
        return {flow: flow.all(source=self) for flow in self.outflows}


def _checked_better(whose: str, better: object) -> None:
    if better not in (None, "up", "down"):
        raise DeclarationError(
            f"{whose} has better={better!r}; write 'up' or 'down', the way its count should go, or leave it out."
        )


def _slug_part(value: Any) -> str:
    text = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in str(value)
    )
    return text.lower().strip("-") or "blank"


def stocks_among(states: Iterable[Any]) -> list[Stock]:
    """The stocks among the states of a flow, each once, in order."""
    return list(dict.fromkeys(state for state in states if isinstance(state, Stock)))
