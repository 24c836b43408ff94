"""What a page's address asks for: range, periods, facet, split and comparison, with what is wrong beside its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import cast
from urllib.parse import urlencode

from django.core.exceptions import FieldError
from django.db import Error
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from stockandflow.declarations import Facet, Process
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.counting import Values
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.periods import Calendar, Grain
from stockandflow.ranges import asked_range, described, end_of_day, instant, last_days, last_year
from stockandflow.reports import Compare
from stockandflow.reports.slicing import Slicing
from stockandflow.site.dates import per, period_header
from stockandflow.site.naming import value_name

PRESETS: dict[str, Callable[[Calendar, datetime], datetime]] = {
    "7d": partial(last_days, 7),
    "30d": partial(last_days, 30),
    "90d": partial(last_days, 90),
    "12mo": last_year,
}
"""Value of the parameter ``range`` → what gives the beginning of the range that ends with today."""

DEFAULT = "30d"
AUTO = "auto"
MOST_PERIODS = 120
"""More are too narrow to be told apart, so that longer ones are shown."""
LONGEST = timedelta(days=20 * 366)
"""Twenty years."""
MOST_VALUES = 50
"""A page is split by a facet with so many values at most, and offers so many in a list."""
AUTO_PERIODS = 92
"""A quarter of days: what a page shows unless it is asked for another grain."""
DAYS = {
    Grain.HOUR: 1 / 24,
    Grain.DAY: 1,
    Grain.WEEK: 7,
    Grain.MONTH: 30.44,
    Grain.QUARTER: 91.3,
    Grain.YEAR: 365.2,
}
"""About how many days a period has."""
ENDS = ("since", "until")
"""The parameters that are the two ends of a range."""


@dataclass(frozen=True)
class Option:
    """One choice of a field; ``value`` is "" for the one that asks for nothing."""

    value: str
    label: str
    selected: bool


@dataclass(frozen=True)
class Field:
    """One parameter as the form shows it: what was given, else what is in force."""

    name: str
    label: str
    value: str
    error: str = ""
    options: tuple[Option, ...] = ()
    """The choices, in order; none where anything can be written. What was given is among them, however wrong."""

    @property
    def input_type(self) -> str:
        """``date`` at an end of the range, ``text`` elsewhere and where a date field would lose the value given."""
        is_date = self.name in ENDS and re.fullmatch(r"(\d{4}-\d{2}-\d{2})?", self.value)
        return "date" if is_date and not self.error else "text"


@dataclass(frozen=True)
class Preset:
    """A range that is one link away."""

    key: str
    label: str
    current: bool
    query: str


@dataclass(frozen=True)
class Chip:
    """A facet in force, and the query of the page without it."""

    facet: str
    value: str
    query: str


@dataclass(frozen=True)
class Asked:
    """What is asked for, as far as it can be, and the form that asks it. With an error its field is the default."""

    since: datetime
    until: datetime
    grain: Grain
    slice: Mapping[str, str]
    """Facet slug → value key; one facet or none."""
    split_by: str | None
    compare: Compare | None
    refused: Grain | None
    """The grain that was asked for, where the range has too many of its periods for a page."""
    presets: tuple[Preset, ...]
    is_custom: bool
    """Whether the range was given by its two ends."""
    fields: tuple[Field, ...]
    """The two ends, the grain, each facet, the split and the comparison."""
    errors: Mapping[str, str]
    """Parameter → what is wrong with it. All but ``range`` and those of ``strays`` stand at a field."""
    values: Mapping[str, Mapping[str, str]]
    """Facet slug → value key → label, of those declared."""
    facets: Mapping[str, str]
    """Facet slug → name, of all that a page can be asked for."""
    known: Mapping[Facet, Values]
    """What these declare, so that nobody asks again."""
    parameters: Mapping[str, str]
    """The parameters that were given and that this module knows."""

    @property
    def ends(self) -> tuple[Field, ...]:
        """The fields of the two ends of the range."""
        return tuple(field for field in self.fields if field.name in ENDS)

    @property
    def selects(self) -> tuple[Field, ...]:
        """All other fields."""
        return tuple(field for field in self.fields if field.name not in ENDS)

    @property
    def error(self) -> str:
        """What is wrong with the parameter ``range``, "" if nothing is."""
        return self.errors.get("range", "")

    @property
    def strays(self) -> tuple[str, ...]:
        """The errors of parameters that have no field, such as those of a facet that there isn't."""
        shown = {"range", *(field.name for field in self.fields)}
        return tuple(error for name, error in self.errors.items() if name not in shown)

    @property
    def chips(self) -> tuple[Chip, ...]:
        """The facets in force, each with the way out."""
        return tuple(
            Chip(self.facets[slug], self.label(slug, key), self.query(**{_parameter(slug): None}))
            for slug, key in self.slice.items()
        )

    @property
    def range_alone(self) -> Asked:
        """The same range, of the whole: for a page that nothing else changes. Links keep what else was asked for."""
        return replace(
            self,
            slice={},
            split_by=None,
            compare=None,
            refused=None,
            fields=self.ends,
            errors={name: error for name, error in self.errors.items() if name in ("range", *ENDS)},
        )

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """The parameters that were given, and that no field of the form has: (name, text)."""
        shown = {*ENDS, *(field.name for field in self.fields), *(["range"] if self.is_custom else [])}
        return tuple((name, text) for name, text in self.parameters.items() if name not in shown)

    @property
    def custom_query(self) -> str:
        """The query of the page with the range in force given by its two ends, so that the form shows them."""
        ends = {field.name: field.value for field in self.ends}
        return self.query(**ends)

    @property
    def wider_query(self) -> str:
        """The query of the page with the longest preset."""
        return self.query(range="12mo")

    @property
    def per(self) -> str:
        """``Per day``, with the grain in force."""
        return capfirst(per(self.grain))

    def label(self, facet: str, key: str) -> str:
        """What people call a value of a facet: its label where it is declared, else what its key means."""
        return value_name(key, self.values.get(facet, {}))

    def query(self, **changes: str | None) -> str:
        """The query of the page with these parameters changed, None to leave one out: ``"?range=7d&split=plan"``.

        All others stay as they were given. A range takes the place of two ends and the other way round, and a facet
        that of another facet and of a split. "?" where nothing is left.
        """
        kept = dict(self.parameters)
        for name, value in changes.items():
            for other in [other for other in kept if _displaces(name, other)] if value else ():
                del kept[other]
            if value:
                kept[name] = value
            else:
                kept.pop(name, None)
        return f"?{urlencode(kept)}"


def read_filters(
    parameters: Mapping[str, str],
    process: Process,
    now: datetime,
    *,
    hours: bool = False,
    errors: Mapping[str, str] | None = None,
) -> Asked:
    """What the parameters of a page ask of a process. Never raises: each error is kept by its parameter.

    ``range``, or ``since`` and ``until``; ``per``, a grain or ``auto``; ``facet-<slug>``, a value's key or label;
    ``split``, a facet's slug; ``compare``, ``previous`` or ``year``. Facets that give an object several values aren't
    offered. ``errors``, by parameter, are those found elsewhere. With ``hours`` a page can be asked for periods of
    hours. One query for each facet whose values are a queryset.
    """
    return _Reading(parameters, process, now, hours=hours, errors=errors or {}).asked()


def _parameter(facet: str) -> str:
    return f"facet-{facet}"


def _displaces(name: str, other: str) -> bool:
    """Whether a parameter that is given anew makes another one pointless."""
    if name == "range":
        return other in ENDS
    if name in ENDS:
        return other == "range"
    if name == "split":
        return other.startswith("facet-")
    return name.startswith("facet-") and other != name and (other == "split" or other.startswith("facet-"))


class _Reading:
    """One reading of the parameters, which gathers the errors as it goes."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        process: Process,
        now: datetime,
        *,
        hours: bool,
        errors: Mapping[str, str],
    ) -> None:
        self.now, self.calendar, self.errors = now, process.calendar, dict(errors)
        self.given = {name: text for name in parameters if (text := parameters[name].strip())}
        self.facets = _facets(process)
        self.grains = [grain for grain in Grain if hours or grain is not Grain.HOUR]

    def asked(self) -> Asked:
        since, until, preset = self._range()
        grain, refused = self._grain(since, until)
        slice_ = self._slice()
        split_by = self._split(slice_)
        compare = self._chosen("compare", ("previous", "year"))
        known = ("range", "since", "until", "per", "split", "compare")
        kept = {name: text for name, text in self.given.items() if name in known or name.startswith("facet-")}
        labels = {"7d": _("7 d"), "30d": _("30 d"), "90d": _("90 d"), "12mo": _("12 mo")}
        asked = Asked(
            since=since,
            until=until,
            grain=grain,
            slice=slice_,
            split_by=split_by,
            compare=cast(Compare | None, compare),
            refused=refused,
            presets=(),
            is_custom=not preset,
            fields=tuple(self._fields(since, until)),
            errors=self.errors,
            values={
                slug: {key: label for label, key in (facet.declared or {}).items()}
                for slug, facet in self.facets.items()
            },
            facets={slug: _name(facet) for slug, facet in self.facets.items()},
            known={one: values for facet in self.facets.values() for one, values in facet.known.items()},
            parameters=kept,
        )
        presets = tuple(Preset(key, labels[key], key == preset, asked.query(range=key)) for key in PRESETS)
        return replace(asked, presets=presets)

    # The range.

    def _range(self) -> tuple[datetime, datetime, str]:
        """The range in force, and the preset that it is, "" where it was given by its ends."""
        given = {name: self.given[name] for name in ENDS if name in self.given}
        ends: dict[str, datetime] = {}
        for name, text in given.items():
            try:
                ends[name] = instant(text, self.calendar, name)
            except InvalidInput as error:
                self.errors.setdefault(name, str(error))
        preset = "" if given else self.given.get("range", DEFAULT)
        if preset and preset not in PRESETS:
            self._refuse("range", preset, PRESETS)
        if {"range", "since", "until"} & self.errors.keys():
            return *self._preset(DEFAULT), "" if given else DEFAULT
        if preset:
            return *self._preset(preset), preset
        since, until = ends.get("since"), ends.get("until")
        try:
            since, until = asked_range(since, until, calendar=self.calendar, now=self.now)
        except InvalidInput as error:
            self.errors["since" if since is not None and since >= self.now else "until"] = str(error)
            return *self._preset(DEFAULT), ""
        if min(until, self.now) - since > LONGEST:
            self.errors["since"] = _("The range has {days} days; ask for {most} at most.").format(
                days=f"{(min(until, self.now) - since).days:,}", most=f"{LONGEST.days:,}"
            )
            return *self._preset(DEFAULT), ""
        return since, until, ""

    def _preset(self, key: str) -> tuple[datetime, datetime]:
        until = end_of_day(self.calendar, self.now)
        return PRESETS[key](self.calendar, until), until

    # The rest.

    def _grain(self, since: datetime, until: datetime) -> tuple[Grain, Grain | None]:
        """The grain in force, and the finer one that was asked for where its periods would be too many."""
        chosen = self._chosen("per", (AUTO, *self.grains)) or AUTO
        days = (min(until, self.now) - since) / timedelta(days=1)

        def first(finest: Grain, most: int) -> Grain:
            at = list(Grain).index(finest)
            return next((one for one in list(Grain)[at:] if ceil(days / DAYS[one]) <= most), Grain.YEAR)

        if chosen == AUTO:
            return first(Grain.DAY, AUTO_PERIODS), None
        wanted = Grain(chosen)
        grain = first(wanted, MOST_PERIODS)
        return grain, None if grain is wanted else wanted

    def _slice(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, text in self.given.items():
            if not name.startswith("facet-"):
                continue
            slug = name.removeprefix("facet-")
            facet = self.facets.get(slug)
            if facet is None:
                self._refuse(name, text, map(_parameter, self.facets))
            elif found:
                self.errors.setdefault(name, _("Records keep each facet by itself; choose one of them."))
            elif (key := self._key(facet, name, text)) is not None:
                found[slug] = key
        return found

    def _key(self, facet: Slicing, name: str, text: str) -> str | None:
        """The key that the text is or labels, None with an error where there is no such value."""
        if name in self.errors:
            return None
        declared = facet.declared or {}
        key = text if text in declared.values() else declared.get(text, text)
        if "\x00" in key:  # no database can be asked for it
            self._refuse(name, text, declared.values())
            return None
        try:
            facet.check(key, ())
        except InvalidInput as error:
            self.errors[name] = str(error)
            return None
        return key

    def _split(self, slice_: Mapping[str, str]) -> str | None:
        slug = self._chosen("split", self.facets)
        if slug and slice_:
            self.errors["split"] = _(
                "Records keep each facet by itself; take out {facet}, or split by nothing."
            ).format(facet=_name(self.facets[next(iter(slice_))]))
            return None
        if slug and _has_many_values(self.facets[slug]):
            self.errors["split"] = _(
                "{facet} has more than {most} values, too many to show side by side; choose one of them as the facet."
            ).format(facet=_name(self.facets[slug]), most=MOST_VALUES)
            return None
        return slug

    def _chosen(self, name: str, known: Iterable[str]) -> str | None:
        """The value of a parameter that is one of those known; None where it is left out, wrong, or was refused."""
        text, known = self.given.get(name), list(known)
        if text is not None and text not in known:
            self._refuse(name, text, known)
        return None if name in self.errors else text

    def _refuse(self, name: str, text: str, known: Iterable[str]) -> None:
        self.errors.setdefault(
            name,
            _("%(name)s is %(given)r; choose one of %(known)s.")
            % {"name": name, "given": text, "known": ", ".join(known) or "–"},
        )

    # The form.

    def _fields(self, since: datetime, until: datetime) -> Iterable[Field]:
        wrong = {"since", "until"} & self.errors.keys() and {"since", "until"} & self.given.keys()
        for name, label, at in (("since", _("From"), since), ("until", _("Until, not included"), until)):
            shown = self.given.get(name) or ("" if wrong else described(at, self.calendar))
            yield Field(name, label, shown, self.errors.get(name, ""))
        grains: dict[str, str] = {grain: period_header(grain) for grain in self.grains}
        yield self._select("per", _("Per"), {"": _("Auto"), **grains})
        for slug, facet in self.facets.items():
            name, label = _parameter(slug), _name(facet)
            if facet.declared is None or len(facet.declared) > MOST_VALUES:
                yield Field(name, label, self.given.get(name, ""), self.errors.get(name, ""))
                continue
            values = {key: label for label, key in facet.declared.items()}
            yield self._select(name, label, {"": _("All"), **values, **self._given_rest(name)})
        if self.facets:
            by = {slug: _name(facet) for slug, facet in self.facets.items()}
            yield self._select("split", _("Split by"), {"": _("Nothing"), **by})
        compared = {"": _("Nothing"), "previous": _("Range before"), "year": _("Year before")}
        yield self._select("compare", _("Compare with"), compared)

    def _given_rest(self, name: str) -> dict[str, str]:
        """What a facet can have beside its declared values, where the page asks for it."""
        return {text: value_name(text, {}) for text in (NONE, OTHER) if self.given.get(name) == text}

    def _select(self, name: str, label: str, labels: Mapping[str, str]) -> Field:
        given = self.given.get(name, "")
        value = "" if name == "per" and given == AUTO else given
        if value not in labels:  # a label instead of a key, or nothing that there is
            value = next((key for key, text in labels.items() if text == value), value)
        shown = labels if value in labels else {**labels, value: value}
        options = tuple(Option(key, text, key == value) for key, text in shown.items())
        return Field(name, label, value, self.errors.get(name, ""), options)


def _facets(process: Process) -> dict[str, Slicing]:
    """The facets that a page can be asked for, by slug, in declared order. One query for each queryset of values."""
    slugs = dict.fromkeys(facet.slug for stock in process.stocks for facet in stock.applied_facets)
    found = {}
    for slug in slugs:
        try:
            found[slug] = Slicing.of(process, slug)
        except InvalidInput:  # it gives an object several values
            continue
    return found


def _has_many_values(facet: Slicing) -> bool:
    """Whether it has more values than a page can be split by. One query where its values aren't declared."""
    if facet.declared is not None:
        return len(facet.declared) > MOST_VALUES
    stock, applied = next(iter(facet.facets.items()))
    values = stock.queryset.order_by().values_list(applied.lookup).distinct()
    try:
        return len(values[: MOST_VALUES + 1]) > MOST_VALUES
    except (Error, FieldError, ValueError):  # a stock that can't be counted; the page says so beside its name
        return False


def _name(facet: Slicing) -> str:
    return str(next(iter(facet.facets.values())).name)
