"""The events that reports count: those of a range, of a process, of a slice."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet

from stockandflow.declarations import AppliedFacet, Flow, Process, state_key
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.facets import NONE, OTHER, FacetText
from stockandflow.models import Origin, Watermark, stored_events


def checked_process(process: Process) -> Process:
    """The process; raises InvalidInput for anything else."""
    if not isinstance(process, Process):
        raise InvalidInput(f"process is {process!r}; give a Process, e.g. registry.process('membership').")
    return process


def models_of(process: Process) -> list[type[Any]]:
    """The event models that can hold moves into or out of the process's stocks, each once."""
    found = [flow.flow_event_model for flow in process.flows]
    for stock in process.stocks:
        found += stock.registry.event_models_of(stock)
    return list(dict.fromkeys(found))


def moves_within(model: type[Model], since: datetime | None, until: datetime | None) -> QuerySet[Any]:
    """The moves over ``since <= t < until``, unordered; an opening balance is no move. No query yet."""
    events = stored_events(model)
    if since is not None:
        events = events.filter(timestamp__gte=since)
    if until is not None:
        events = events.filter(timestamp__lt=until)
    return events.exclude(origin=Origin.INITIAL)


def refuse_pruned(event_models: Iterable[type[Any]], since: datetime | None) -> None:
    """Raise InvalidInput where events from ``since`` on, None for all, are needed and were pruned. One query."""
    horizon = Watermark.horizon_of(*event_models)
    if horizon is not None and (since is None or since < horizon):
        asked = "all events are asked for" if since is None else f"since is {since.isoformat()}"
        raise InvalidInput(
            f"{asked}, and those before {horizon.isoformat()} were pruned; ask for that instant or a later one. "
            "Balances of whole days before it are told by records."
        )


def touching(slugs: Collection[str]) -> Q:
    """The condition that an event leads into or out of one of these stocks."""
    return Q(source__in=slugs) | Q(sink__in=slugs)


def moves_of(process: Process, prefix: str = "") -> Q:
    """The condition that a move touches the process's stocks, or is of a flow of it that may lead past them.

    ``prefix`` leads to what has the move's flow, source and sink.
    """
    slugs = [stock.slug for stock in process.stocks]
    found = Q(**{f"{prefix}source__in": slugs}) | Q(**{f"{prefix}sink__in": slugs})
    beside = sorted(flow.slug for flow in process.flows if _leads_past(flow, slugs))
    return found | Q(**{f"{prefix}flow__in": beside}) if beside else found


def _leads_past(flow: Flow, slugs: Collection[str]) -> bool:
    """Whether some moves of the flow neither begin nor end in one of these stocks."""
    sources, sinks = ({state_key(one) for one in side} - set(slugs) for side in (flow.sources, flow.sinks))
    return any(source != sink for source in sources for sink in sinks)


def sliced(
    events: QuerySet[Any],
    facet: AppliedFacet,
    key: str,
    flows: Collection[str],
    apart: Collection[str] = (),
) -> QuerySet[Any]:
    """The events whose subjects had the facet value with that key when they moved. One query.

    ``flows`` are the slugs of those that have the facet; moves of all others count under ``(none)``. ``apart`` are the
    keys that don't count under ``(other)`` though they aren't declared. What events keep is text, and several texts can
    share a key, so the texts that they have are asked first.
    """
    subject_model: Any = events.model._meta.get_field("subject").related_model
    column, name = facet.column(subject_model), f"sf_facet_{facet.slug.replace('-', '_')}"
    events = events.annotate(**{name: FacetText(facet.slug)})
    known = Q(flow__in=flows)
    if key == NONE:
        return events.filter(~known | Q(**{f"{name}__isnull": True}))
    events = events.filter(known)
    texts = events.order_by().values_list(name, flat=True).distinct()
    keys = {text: column.key(text) for text in texts if text is not None}
    if key == OTHER and OTHER not in keys.values():
        told = (facet.declared_keys(subject_model) or set()).union(apart)
        wanted = [text for text, found in keys.items() if found not in told]
    else:
        wanted = [text for text, found in keys.items() if found == key]
    return events.filter(**{f"{name}__in": wanted})
