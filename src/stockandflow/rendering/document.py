"""Balances and series as JSON: for programs that want the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from stockandflow.declarations import Stock
from stockandflow.models import Origin, Restatement
from stockandflow.periods import Calendar
from stockandflow.rendering.rows import SUPPRESSED
from stockandflow.reports import Balance, FlowLine, Point, Series, StockBalance, rate

VERSION = 1
"""Of the keys and their meaning: a new key leaves it, anything else raises it."""


def to_json(balance: Balance, calendar: Calendar) -> str:
    """The balance as a JSON document, indented, in ASCII, so that any terminal and file can hold it."""
    return json.dumps(as_document(balance, calendar), indent=2)


def as_document(balance: Balance, calendar: Calendar) -> dict[str, Any]:
    """The balance as dictionaries and lists, for JSON; ``docs/reference/report-json.md`` says what each key holds."""
    process = balance.process
    return {
        "version": VERSION,
        "process": {"slug": process.slug, "name": process.name, "description": process.description},
        "time_zone": calendar.timezone,
        **_balance(balance, calendar),
        "parts": [_balance(part, calendar) for part in balance.parts],
        "slices": {value: _balance(one, calendar) for value, one in balance.slices.items()},
        "compared": balance.compared and _balance(balance.compared, calendar),
    }


def series_to_json(found: Iterable[Series], process: str = "") -> str:
    """Series as a JSON document, indented, in ASCII; ``process`` is the slug of that whose they are, or ""."""
    document = {"version": VERSION, "process": process or None, "series": [_series(one) for one in found]}
    return json.dumps(document, indent=2)


def _series(series: Series) -> dict[str, Any]:
    return {
        "kind": "stock" if isinstance(series.of, Stock) else "flow",
        "slug": series.of.slug,
        "name": series.of.name,
        "measure": series.measure,
        "grain": series.grain.value,
        "time_zone": series.calendar.timezone,
        "since": iso(series.since),
        "until": iso(series.until),
        "points": [_point(point) for point in series.points],
        "open": series.open and _point(series.open),
        "partial": [_point(point) for point in series.partial],
        "gaps": [{"start": iso(gap.start), "end": iso(gap.end)} for gap in series.gaps],
        "suppressed": series.suppressed,
        "breaks": [{"at": iso(one.at), "text": one.text} for one in series.breaks],
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "start": iso(point.start),
        "end": iso(point.end),
        "value": point.value,
        "status": point.status.value,
        "computed_at": _made(point.computed_at),
        "since": _made(point.since),
    }


def _balance(balance: Balance, calendar: Calendar) -> dict[str, Any]:
    grain = calendar.grain_of(balance.since, balance.until)
    return {
        "since": iso(balance.since),
        "until": iso(balance.until),
        "at": iso(balance.at),
        "grain": grain and grain.value,
        "in_progress": balance.in_progress,
        "status": balance.status.value,
        "restated": len(balance.restated),
        "restatements": [_restatement(one) for one in balance.restated],
        "slice": dict(balance.slice),
        "min_cell": balance.least or None,
        "origins": {
            origin: None if balance.least and not balance.origins else balance.origins.get(origin, 0)
            for origin in Origin.values
        },
        "stocks": [_stock(balance, line) for line in balance.stocks],
    }


def _restatement(one: Restatement) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "slug": one.slug,
        "source": one.source or None,
        "sink": one.sink or None,
        "slice": {one.facet: one.value} if one.facet else {},
        "start": iso(one.start),
        "end": iso(one.end),
        "old_count": one.old_count,
        "new_count": one.new_count,
        "old_subjects": one.old_subjects,
        "new_subjects": one.new_subjects,
        "at": iso(one.at),
        "cause": one.cause,
    }


def iso(at: datetime) -> str:
    """An instant in UTC, e.g. ``2026-03-29T00:00:00Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _made(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def _stock(balance: Balance, line: StockBalance) -> dict[str, Any]:
    return {
        "slug": line.stock.slug,
        "name": line.stock.name,
        "better": line.stock.better,
        "opening": line.opening,
        "opening_method": line.opening_method,
        "opening_computed_at": _made(line.opening_computed_at),
        "inflow": line.inflow,
        "outflow": line.outflow,
        "net": line.net,
        "unexplained": line.unexplained,
        "reclassified": line.reclassified,
        "closing": line.closing,
        "closing_method": line.closing_method,
        "closing_computed_at": _made(balance.at if balance.in_progress else line.closing_computed_at),
        "change": line.change,
        "status": SUPPRESSED if line.suppressed else line.status.value,
        "restated": len(line.restated),
        "inflows": [_flow(flow) for flow in line.inflows],
        "outflows": [{**_flow(flow), "rate": rate(flow.count, [line.opening])} for flow in line.outflows],
    }


def _flow(line: FlowLine) -> dict[str, Any]:
    return {
        "flow": line.flow.slug if line.flow else None,
        "name": line.name,
        "source": line.source or None,
        "sink": line.sink or None,
        "count": line.count,
        "subjects": line.subjects,
        "computed_at": _made(line.computed_at),
    }
