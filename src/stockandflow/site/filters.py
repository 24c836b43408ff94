"""What a page's address asks for: the range, as a preset or as two dates, with what is wrong kept beside its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.utils.translation import gettext as _

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import Calendar
from stockandflow.ranges import asked_range, described, end_of_day, instant, last_days, last_year

PRESETS: dict[str, Callable[[Calendar, datetime], datetime]] = {
    "7d": partial(last_days, 7),
    "30d": partial(last_days, 30),
    "90d": partial(last_days, 90),
    "12mo": last_year,
}
"""Value of the parameter ``range`` → what gives the beginning of the range that ends with today."""

DEFAULT = "30d"


@dataclass(frozen=True)
class Field:
    """One end of the range as the form shows it: what was given, else the range in force."""

    name: str
    label: str
    value: str
    error: str

    @property
    def input_type(self) -> str:
        """``date``, or ``text`` where a date field would lose the value that was given."""
        return "date" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.value) and not self.error else "text"


@dataclass(frozen=True)
class Preset:
    """A range that is one link away."""

    key: str
    label: str
    current: bool


@dataclass(frozen=True)
class AskedRange:
    """The range in force, and the form that changes it. With any error it is the default range."""

    since: datetime
    until: datetime
    presets: tuple[Preset, ...]
    fields: tuple[Field, ...]
    error: str
    """What is wrong with the parameter ``range``, "" if nothing is."""


def read_range(
    parameters: Mapping[str, str],
    calendar: Calendar,
    now: datetime,
    *,
    errors: Mapping[str, str] | None = None,
) -> AskedRange:
    """The range that the parameters ask for: ``since`` and ``until``, else ``range``, else the default.

    ``errors``, by parameter, are those found elsewhere. Nothing is raised: each error stands beside its field.
    """
    wrong = dict(errors or {})
    given = {name: text for name in ("since", "until") if (text := parameters.get(name, "").strip())}
    ends: dict[str, datetime] = {}
    for name, text in given.items():
        try:
            ends[name] = instant(text, calendar, name)
        except InvalidInput as error:
            wrong.setdefault(name, str(error))
    preset = "" if given else parameters.get("range", "") or DEFAULT
    if preset and preset not in PRESETS:
        wrong["range"] = _("range is %(given)r; choose one of %(known)s.") % {
            "given": preset,
            "known": ", ".join(PRESETS),
        }
    since, until = ends.get("since"), ends.get("until")
    if preset and not wrong:
        until = end_of_day(calendar, now)
        since = PRESETS[preset](calendar, until)
    try:
        since, until = asked_range(*(None, None) if wrong else (since, until), calendar=calendar, now=now)
    except InvalidInput as error:
        wrong["since" if since is not None and since >= now else "until"] = str(error)
        since, until = asked_range(None, None, calendar=calendar, now=now)
    current = DEFAULT if wrong else preset

    def field(name: str, label: str, value: datetime) -> Field:
        shown = given.get(name) or ("" if wrong and given else described(value, calendar))
        return Field(name, label, shown, wrong.get(name, ""))

    labels = {"7d": _("7 d"), "30d": _("30 d"), "90d": _("90 d"), "12mo": _("12 mo")}
    return AskedRange(
        since=since,
        until=until,
        presets=tuple(Preset(key, labels[key], key == current) for key in PRESETS),
        fields=(field("since", _("From"), since), field("until", _("Until, not included"), until)),
        error=wrong.get("range", ""),
    )
