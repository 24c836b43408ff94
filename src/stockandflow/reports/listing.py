"""The list behind a number: the very objects or events that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from stockandflow.declarations import ANY, ELSEWHERE, AppliedFacet, Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.periods import TICK
from stockandflow.reports.events import models_of, moves_within, refuse_pruned, sliced, touching
from stockandflow.reports.levels import tracker_of
from stockandflow.reports.netting import netted
from stockandflow.reports.numbers import Kind, Number


def members(number: Number) -> QuerySet[Any]:
    """The objects or events that the number counts, as they are known now, lazily.

    Levels, subjects and net lines are counts of objects: theirs are the objects that still exist; ``subjects`` has the
    keys of all. Flows, inflows and outflows are counts of events; the net of a stock is its events of both kinds. A
    number that was read from records can lag behind events that came late, and a count behind what is known of the
    past by now: the list is always of what is known now. So is that of what is ``unexplained``: the objects whose row
    and last event disagree about the stock by now, whatever the range.

    No query is made until the list is evaluated, but those of ``Stock.members`` for a level of the past, one for moves,
    and one a facet for a slice of a flow. Raises InvalidInput for what can't be listed: moves whose events were pruned,
    a level before the history is exact or of a stock in no tracker, a slice of the past, what is unexplained of a stock
    in no tracker, what was reclassified.
    """
    _check(number)
    if _counts_events(number):
        return _events(number)
    if number.kind is Kind.LEVEL:
        return _standing(number)
    if number.kind is Kind.UNEXPLAINED:
        stock = _stock(number)
        unseen, left = (Q(**{f"{_key_of(stock)}__in": some}) for some in _disagreeing(stock))
        return everybody(stock.model, stock.queryset.db).filter(unseen | left)
    keys = subjects(number)
    target: Any = keys.model._meta.get_field("subject").target_field
    return everybody(target.model, keys.db).filter(**{f"{target.name}__in": keys})


@dataclass(frozen=True)
class Listed:
    """The list behind a number, lazily: its ``objects``, or its ``events``, one of which is None.

    ``gone`` are the keys of the objects that the number counts and that exist no more, None where there are none.
    """

    model: type[Model]
    """That of the objects, or of the objects that moved."""
    objects: QuerySet[Any] | None
    events: QuerySet[Any] | None = None
    gone: QuerySet[Any] | None = None


def listed(number: Number) -> Listed:
    """What ``members`` gives, with the keys of those that are gone; its queries are made, and raises, as there."""
    _check(number)
    if _counts_events(number):
        events = _events(number)
        return Listed(events.model._meta.get_field("subject").related_model, None, events=events)
    if number.kind is Kind.UNEXPLAINED:
        keys, objects = _disagreeing(_stock(number))[1], members(number)
    elif number.kind is Kind.LEVEL and (number.until is None or number.slice):
        objects = _standing(number)
        return Listed(objects.model, objects)
    else:
        keys, objects = subjects(number), None
    target: Any = keys.model._meta.get_field("subject").target_field
    there = everybody(target.model, keys.db)
    if objects is None:
        objects = there.filter(**{f"{target.name}__in": keys})
    gone = keys.exclude(Exists(there.filter(**{target.name: OuterRef("subject_id")})))
    return Listed(target.model, objects, gone=gone)


def everybody(model: type[Model], using: str) -> QuerySet[Any]:
    """All objects of a model; not by a manager, which may leave rows out."""
    return QuerySet(model, using=using)


def subjects(number: Number) -> QuerySet[Any]:
    """The keys of the objects that the number counts or that made the moves, each once, also of those that are gone.

    Raises as ``members`` does, and makes the same queries.
    """
    _check(number)
    if number.kind is Kind.UNEXPLAINED:
        unseen, left = _disagreeing(_stock(number))
        return unseen.union(left)
    if number.kind is Kind.LEVEL:
        stock = _stock(number)
        if number.until is not None and not number.slice:
            return stock.member_keys(at=_just_before(number.until))
        return _standing(number).order_by().values_list(_key_of(stock), flat=True)
    return _events(number).order_by().values_list("subject_id", flat=True).distinct()


def _check(number: Number) -> None:
    if not isinstance(number, Number):
        raise InvalidInput(
            f"number is {number!r}; give a Number, e.g. from balance.number(line, 'closing') or Number.level(stock)."
        )


def _counts_events(number: Number) -> bool:
    moves = number.kind in (Kind.FLOW, Kind.INFLOW, Kind.OUTFLOW, Kind.NET)
    return moves and number.measure == "count"


def _standing(number: Number) -> QuerySet[Any]:
    stock = _stock(number)
    if number.until is None:
        return stock.members_with(dict(number.slice)) if number.slice else stock.members()
    if number.slice:
        raise InvalidInput(
            f"The {number} can't be listed: events keep facet values as they were at a move, so who had them in "
            "between isn't known. Ask for the whole stock at that instant, or for the slice now."
        )
    return stock.members(at=_just_before(number.until))


def _just_before(at: datetime) -> datetime:
    try:
        return at - TICK
    except OverflowError:
        raise InvalidInput(
            f"The level is asked for at {at}, and no time is before that; take a later one."
        ) from None


def _events(number: Number) -> QuerySet[Any]:
    """The moves that the number counts, or whose subjects it counts, in the order in which they happened."""
    if number.kind is Kind.RECLASSIFIED:
        raise InvalidInput(
            f"The {number} can't be listed: who changes a facet's value without a move leaves no event. Compare the "
            "slice's members now with the facet values of their last events, or make the facet a dimension of its own, "
            "whose values are stocks of a tracker."
        )
    if number.kind is Kind.NETTED:
        model = _event_model(number)
        refuse_pruned([model], number.since)
        moved = netted(model, _process(number), number.since, number.until)
        moved = moved.filter(
            _stands("sf_first_source", number.source, number), _stands("sf_last_sink", number.sink, number)
        )
        return moves_within(model, number.since, number.until).filter(pk__in=moved.values("pk"))
    where, model = _where(number), _event_model(number)
    refuse_pruned([model], number.since)
    events = moves_within(model, number.since, number.until).filter(where)
    for slug, key in number.slice:
        facet, flows = facet_of(number, slug)
        events = sliced(events, facet, key, flows, number.apart)
    return events.order_by("timestamp", "id")


def _where(number: Number) -> Q:
    if number.kind is not Kind.FLOW:
        slug = _stock(number).slug
        into, out = Q(sink=slug), Q(source=slug)
        return {Kind.INFLOW: into, Kind.OUTFLOW: out}.get(number.kind, into | out)
    if number.flow is not None:
        found = Q(flow=number.flow.slug)
    else:
        found = ~Q(flow__in=[flow.slug for flow in _process(number).flows])
    if number.source != ANY:
        found &= _stands("source", number.source, number)
    if number.sink != ANY:
        found &= _stands("sink", number.sink, number)
    return found


def _stands(column: str, key: str, number: Number) -> Q:
    """The condition that a column holds the state that a number names."""
    return Q(**{f"{column}__in": sorted(number.elsewhere)}) if key == ELSEWHERE else Q(**{column: key})


def facet_of(number: Number, slug: str) -> tuple[AppliedFacet, set[str]]:
    """The facet of a number, and the slugs of the flows that have it; raises UnknownSlug where nobody does."""
    stocks = [number.stock] if number.stock else list(number.process.stocks if number.process else ())
    flows = [number.flow] if number.flow else []
    flows += [flow for stock in stocks for flow in (*stock.inflows, *stock.outflows)]
    with_it = {flow.slug for flow in flows if any(facet.slug == slug for facet in flow.applied_facets)}
    owners: list[Stock | Flow] = [*flows, *stocks]
    known = [facet for owner in owners for facet in owner.applied_facets if facet.slug == slug]
    return known[0] if known else owners[0].get_facet(slug), with_it


def _event_model(number: Number) -> type[Any]:
    if number.flow is not None:
        return number.flow.flow_event_model
    if number.stock is not None:
        models = list(number.stock.registry.event_models_of(number.stock))
    else:
        process, sides = _process(number), {number.source, number.sink}
        ends = [stock for stock in process.stocks if stock.slug in sides]
        models = [model for stock in ends[:1] for model in stock.registry.event_models_of(stock)]
        models = models or models_of(process)
    if len(models) != 1:
        names = " and ".join(sorted(model._meta.label for model in models)) or "no event model"
        raise InvalidInput(
            f"The {number} has its events in {names}, which make no one list; ask for the number of each flow, whose "
            "events are of one model."
        )
    return models[0]


def _disagreeing(stock: Stock) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """The keys of the objects in the stock whose last event led elsewhere, and of those the other way round."""
    tracker = stock.registry.tracker_of(stock)
    if tracker is None:
        raise InvalidInput(
            f"The stock {stock.slug!r} is in no tracker, so nothing of it is unexplained; put it into a ModelTracker."
        )
    key, events = _key_of(stock), _events_of(tracker, stock)
    its = events.filter(subject_id=OuterRef(key)).order_by("-timestamp", "-id")
    last = Coalesce(Subquery(its.values("sink")[:1]), Value(""))
    unseen = stock.all().order_by().annotate(sf_last=last).exclude(sf_last=stock.slug)
    latest = events.filter(subject_id=OuterRef("subject_id")).order_by("-timestamp", "-id").values("pk")[:1]
    left = events.filter(sink=stock.slug, pk=Subquery(latest)).exclude(
        subject_id__in=stock.all().order_by().values(key)
    )
    return unseen.values_list(key, flat=True), left.order_by().values_list("subject_id", flat=True)


def _events_of(tracker: ModelTracker, stock: Stock) -> QuerySet[Any]:
    events: Any = tracker.events._base_manager.using(tracker.database).filter(tracker=tracker.slug)
    # A function may serve several dimensions at once, so only events that touch the stock tell of it.
    found: QuerySet[Any] = events if tracker.derived else events.filter(touching([stock.slug]))
    return found


def _key_of(stock: Stock) -> str:
    """The field that events know the stock's members by."""
    tracker = tracker_of(stock)
    if tracker is None:
        return "pk"
    events: Any = tracker.events._meta
    name: str = events.get_field("subject").target_field.name
    return name


def _stock(number: Number) -> Stock:
    if number.stock is None:
        raise InvalidInput(f"The {number} names no stock; take numbers from a balance, or by Number.level().")
    return number.stock


def _process(number: Number) -> Process:
    if number.process is None:
        raise InvalidInput(
            f"The {number} names neither flow nor process; take it from a balance, or by Number.of_flow()."
        )
    return number.process
