"""The address of what stands behind a number, and the number that such an address asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, TypeVar, cast, get_args
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.http import HttpRequest
from django.urls import reverse

from stockandflow.declarations import ANY, ELSEWHERE, Flow, Process, Stock, state_key
from stockandflow.declarations.slugs import LENGTH
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.models import stored_events
from stockandflow.periods import Calendar
from stockandflow.ranges import described, instant, is_midnight
from stockandflow.reports.events import models_of
from stockandflow.reports.numbers import Kind, Measure, Number
from stockandflow.site.access import may_list, subject_models
from stockandflow.site.frames import page_url

FACET = "facet-"
"""What the name of a parameter begins with that asks for a facet's value; the facet's slug follows."""

Declared = TypeVar("Declared", Stock, Flow)


def objects_url(number: Number, process: Process, request: HttpRequest | None = None) -> str:
    """The address of the list behind a number of the process; with a request, in the frame where its page stands.

    The number's value goes along, so that the list can say where it differs. Raises UnknownSlug for a number of a stock
    or a flow that isn't the process's.
    """
    parameters = number_parameters(number, process)
    if request is None:
        place = reverse("stockandflow:objects", args=[process.slug])
    else:
        place = page_url(request, "objects", process.slug)
    return f"{place}?{urlencode(parameters)}"


def number_parameters(number: Number, process: Process) -> dict[str, str]:
    """What names a number in an address; ``read_number`` gives it back. Raises UnknownSlug as ``objects_url`` does."""
    if number.stock is not None:
        _declared("stock", process, process.stocks, number.stock.slug)
    if number.flow is not None:
        _declared("flow", process, process.flows, number.flow.slug)
    return _parameters(number, partial(_instant, calendar=process.calendar))


def _parameters(number: Number, written: Callable[[datetime], str]) -> dict[str, str]:
    parameters = {"kind": number.kind.value}
    parameters |= {
        name: one.slug for name, one in (("stock", number.stock), ("flow", number.flow)) if one is not None
    }
    sides = {"source": number.source, "sink": number.sink}
    parameters |= {name: key for name, key in sides.items() if key != ANY}
    if number.measure != "count":
        parameters["measure"] = number.measure
    ends = {"since": number.since, "until": number.until}
    parameters |= {name: written(at) for name, at in ends.items() if at is not None}
    parameters |= {f"{FACET}{slug}": key for slug, key in number.slice}
    if number.apart:
        parameters["apart"] = json.dumps(sorted(number.apart), ensure_ascii=False)
    if number.value is not None:
        parameters["value"] = str(number.value)
    return parameters


def read_number(parameters: Mapping[str, str], process: Process) -> Number:
    """The number of the process that these parameters name; other parameters are passed over.

    Raises InvalidInput for what names no number. Whether its objects can be listed is told by ``reports.members``.
    """
    given = {name: text for name, text in parameters.items() if name in NAMES or name.startswith(FACET)}
    if wrong := [name for name, text in given.items() if "\0" in text]:
        raise InvalidInput(f"{wrong[0]} is {given[wrong[0]]!r}, and no text here holds a NUL; leave it out.")
    kinds, measures = [kind.value for kind in Kind], list(get_args(Measure))
    kind, measure = given.get("kind", ""), given.get("measure", "count")
    if kind not in kinds:
        raise InvalidInput(f"kind is {kind!r}; write one of {', '.join(kinds)}.")
    if measure not in measures:
        raise InvalidInput(f"measure is {measure!r}; write one of {', '.join(measures)}.")
    since, until = (
        instant(given[name], process.calendar, name) if given.get(name) else None
        for name in ("since", "until")
    )
    if since is not None and until is not None and until <= since:
        raise InvalidInput(
            f"until ({given['until']}) doesn't come after since ({given['since']}); a range is since <= t < until."
        )
    return Number(
        Kind(kind),
        process=process,
        stock=_declared("stock", process, process.stocks, given["stock"]) if given.get("stock") else None,
        flow=_declared("flow", process, process.flows, given["flow"]) if given.get("flow") else None,
        source=_side("source", given),
        sink=_side("sink", given),
        since=since,
        until=until,
        measure=cast(Measure, measure),
        slice=_slice(given, process),
        apart=_apart(given.get("apart", "")),
        value=_value(given.get("value", "")),
    )


NAMES = frozenset({"kind", "stock", "flow", "source", "sink", "measure", "since", "until", "apart", "value"})
"""The parameters that name a number, beside those of facets."""


def _declared(kind: str, process: Process, known: Any, slug: str) -> Any:
    for declaration in known:
        if declaration.slug == slug:
            return declaration
    raise UnknownSlug(f"{kind} of the process {process.slug!r}", slug, [one.slug for one in known])


def _side(name: str, given: Mapping[str, str]) -> str:
    key = given.get(name, ANY)
    if len(key) > LENGTH:
        raise InvalidInput(
            f"{name} has {len(key)} characters; write the slug of a stock, nothing for outside, or {ANY!r} for any."
        )
    return key


def undeclared_sides(number: Number, process: Process) -> dict[str, str]:
    """``source`` and ``sink`` of the number where they are no state that the process or one of its flows declares.

    Nor is one that is hidden.
    """
    states = [state for flow in process.flows for state in (*flow.sources, *flow.sinks)]
    known = {ANY, ELSEWHERE, "", *map(state_key, states), *(stock.slug for stock in process.stocks)}
    known -= number.elsewhere
    return {side: key for side in ("source", "sink") if (key := getattr(number, side)) not in known}


def check_sides(number: Number, process: Process) -> None:
    """Raise InvalidInput where a side is neither declared nor told of by an event of the process, or is hidden.

    States that were declared once stay in events. No query where all are declared, else one for each event model.
    """
    for side, key in undeclared_sides(number, process).items():
        told = (stored_events(model).filter(**{side: key}).exists() for model in models_of(process))
        if key in number.elsewhere or not any(told):
            known = ", ".join(repr(stock.slug) for stock in process.stocks)
            raise InvalidInput(
                f"{side} is no state of the process {process.slug!r}, and none of its events names it; write one of "
                f"{known}, nothing for outside, or {ANY!r} for any."
            )


def _slice(given: Mapping[str, str], process: Process) -> tuple[tuple[str, str], ...]:
    owners: list[Stock | Flow] = [*process.stocks, *process.flows]
    known = {facet.slug for owner in owners for facet in owner.applied_facets}
    wanted = {name.removeprefix(FACET): text for name, text in given.items() if name.startswith(FACET)}
    for slug in wanted.keys() - known:
        raise UnknownSlug(f"facet of the process {process.slug!r}", slug, known)
    return tuple(sorted(wanted.items()))


def _apart(text: str) -> frozenset[str]:
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) and "\0" not in one for one in found):
        raise InvalidInput(
            f"apart is {text!r}; write a JSON list of the values that the report told, or leave it out."
        )
    return frozenset(found)


def _value(text: str) -> int | None:
    if text and not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise InvalidInput(f"value is {text!r}; write the number that the report showed, or leave it out.")
    return int(text) if text else None


def _instant(at: datetime, calendar: Calendar) -> str:
    """An instant as an address has it: the date where a local day begins, else in UTC to the microsecond."""
    if is_midnight(at, calendar):
        return described(at, calendar)
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def linker(request: HttpRequest, process: Process) -> Callable[[Number], str | None]:
    """What gives the address of the list behind a number of the process, where this user may see one.

    None where there is nothing to list: for 0 and for what isn't known, for what was reclassified, and for levels of
    the past that no events tell, of a slice or of a stock in no tracker. Two queries at the first number, those of the
    user's permissions. The numbers are those of the process's own reports, so nobody looks again whether it has their
    stocks and flows.
    """
    place = page_url(request, "objects", process.slug)
    # A page has hundreds of numbers, and few instants.
    written = cache(partial(_instant, calendar=process.calendar))

    @cache
    def allowed(model: type[Model]) -> bool:
        return may_list(request.user, process, model)

    def link(number: Number) -> str | None:
        if not number.value or number.kind is Kind.RECLASSIFIED:
            return None
        stock, flow = number.stock, number.flow
        past = number.kind is Kind.LEVEL and number.until is not None
        if past and (number.slice or stock is None or stock.registry.tracker_of(stock) is None):
            return None
        if stock is not None:
            models = [stock.model]
        else:
            models = [flow.subject_model] if flow is not None else subject_models(process)
        if not all(map(allowed, models)):
            return None
        return f"{place}?{urlencode(_parameters(number, written))}"

    link.do_not_call_in_templates = True  # type: ignore[attr-defined]
    return link


def timeline_url(model: type[Model], key: Any, process: Process, request: HttpRequest | None = None) -> str:
    """The address of what happened to one object; with a request, in the frame where its page stands.

    ``key`` is the one by which its events know it, the primary key unless the event model says another.
    """
    args = process.slug, model._meta.label_lower, written_key(subject_key(model, process), key)
    if request is None:
        return reverse("stockandflow:timeline", args=args)
    return page_url(request, "timeline", *args)


def subject_key(model: type[Model], process: Process) -> Field[Any, Any]:
    """The field by which the process's events know the objects of that model; the primary key where none does."""
    for events in models_of(process):
        subject: Any = events._meta.get_field("subject")
        if subject.related_model._meta.concrete_model is model._meta.concrete_model:
            field: Field[Any, Any] = subject.target_field
            return field
    return model._meta.pk


def written_key(field: Field[Any, Any], key: Any) -> str:
    """A key as one part of an address: all but ASCII letters, digits and hyphens as ``_`` and the byte in hex.

    A lone ``_`` stands for the empty text.
    """
    holder: Any = SimpleNamespace(**{field.attname: key})
    text = field.value_to_string(holder)
    return re.sub(rb"[^A-Za-z0-9-]", lambda byte: b"_%02X" % byte[0][0], text.encode()).decode() or "_"


def read_key(field: Field[Any, Any], text: str) -> Any:
    """The key that a part of an address stands for; raises InvalidInput where the field can't have such a key."""
    try:
        return checked_key(field, _plain(text))
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no key of {field.model._meta.label}; follow a link from a list of objects."
        ) from error


def checked_key(field: Field[Any, Any], text: str) -> Any:
    """The key that a text is, as the database can be asked for it; raises ValueError where it can be none."""
    if "\0" in text:
        raise ValueError(f"{text!r} holds a NUL")
    plain: Any = field
    while plain.remote_field:  # the link of a child to its parent's row
        plain = plain.target_field
    try:
        key = plain.to_python(text)
        plain.run_validators(key)
    except (ValidationError, ArithmeticError) as error:
        raise ValueError(f"{text!r} is no {plain.get_internal_type()}") from error
    if isinstance(key, int) and not -(2**63) <= key < 2**63:
        raise ValueError(f"{key} is larger than any key")
    return key


def _plain(text: str) -> str:
    if not re.fullmatch(r"_|(?:[A-Za-z0-9-]|_[0-9A-F]{2})+", text):
        raise ValueError(f"written_key() gives no {text!r}")
    plain = re.sub(r"_([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text.removesuffix("_"))
    return plain.encode("latin-1").decode()
