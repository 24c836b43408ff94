"""What each stock, flow and process's calendar means, noted with the recording that first used it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import router
from django.db.models import QuerySet

from stockandflow.declarations import Flow, Stock, state_key
from stockandflow.declarations.facet import AppliedFacet
from stockandflow.membership import facet_key
from stockandflow.membership.canonical import canonical_sql
from stockandflow.models import Definition
from stockandflow.models.clock import database_now
from stockandflow.registry import Registry


@dataclass(frozen=True)
class Meaning:
    """What a declaration means now; ``text`` is the same as long as that is."""

    kind: str
    slug: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.slug

    @property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def meanings(registry: Registry) -> Iterator[Meaning]:
    """What every registered stock, flow and process's calendar means now. No query."""
    for stock in registry.stocks:
        yield Meaning("stock", stock.slug, "\n".join(_of_stock(stock)))
    for flow in registry.flows:
        yield Meaning("flow", flow.slug, "\n".join(_of_flow(flow)))
    for process in registry.processes:
        yield Meaning("calendar", process.slug, process.calendar.key)


def note_definitions(registry: Registry, at: datetime | None = None) -> list[Definition]:
    """Keep the meanings that differ from the last ones known, as of ``at``, the database's now unless given.

    Gives those kept. One query to read and one to write, if any differ.
    """
    known = {(one.kind, one.slug): one.digest for one in Definition.latest_of_each()}
    changed = [one for one in meanings(registry) if known.get(one.key) != one.digest]
    if not changed:
        return []
    since = at or database_now(router.db_for_write(Definition))
    return Definition.objects.bulk_create(
        [
            Definition(kind=one.kind, slug=one.slug, since=since, digest=one.digest, text=one.text)
            for one in changed
        ],
        ignore_conflicts=True,
    )


def changed_definitions(registry: Registry) -> list[tuple[Definition, Meaning]]:
    """The definitions that records were kept with, beside what is meant now, where the two differ. One query."""
    now = {one.key: one for one in meanings(registry)}
    return [
        (one, now[one.kind, one.slug])
        for one in Definition.latest_of_each()
        if (one.kind, one.slug) in now and now[one.kind, one.slug].digest != one.digest
    ]


def _of_stock(stock: Stock) -> Iterator[str]:
    yield f"{stock.model._meta.label}: {canonical_sql(stock.queryset)}"
    yield from _of_facets(stock.applied_facets, values=True)


def _of_flow(flow: Flow) -> Iterator[str]:
    yield f"moves of {flow.flow_event_model._meta.label}"
    yield f"from {_states(flow.sources)}"
    yield f"to {_states(flow.sinks)}"
    yield from _of_facets(flow.applied_facets, values=False)


def _states(states: Iterable[object]) -> str:
    return ", ".join(sorted(state_key(state) or "outside" for state in states))


def _of_facets(facets: Sequence[AppliedFacet], *, values: bool) -> Iterator[str]:
    """A line for each facet; declared values decide what is "(other)", and those of a queryset change by design."""
    for facet in sorted(facets, key=lambda one: one.slug):
        declared = facet.facet.values
        listed = values and declared is not None and not isinstance(declared, QuerySet)
        keys = sorted({facet_key(value) for _, value in facet.facet.choices() or []}) if listed else []
        yield f"by {facet.slug}: {facet.lookup}{' of ' + ', '.join(map(repr, keys)) if listed else ''}"
