"""The project's settings: one dictionary ``STOCKANDFLOW``, read at every use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from stockandflow.exceptions import DeclarationError


@dataclass(frozen=True)
class Conf:
    """The settings with their types and defaults; each field is a key of ``STOCKANDFLOW``, in upper case."""

    time_zone: str
    """Zone in which days, weeks and months begin (IANA name). Default: the project's ``TIME_ZONE``."""
    week_start: int = 0
    """First day of the week, 0 = Monday … 6 = Sunday."""
    year_start_month: int = 1
    """First month of the year, 1–12; quarters follow from it."""
    allowed_lateness: timedelta = timedelta(days=1)
    """How long after its end a period stays provisional; events that come later restate a final number."""
    retention: Mapping[str, Any] = field(default_factory=dict)
    """The ages at which events and records go (see ``stockandflow.recording.Retention``); what isn't named stays."""
    record_frequency: str = "hourly"
    """How often the schedule records everything registered (a frequency of ``stockandflow.periodic``)."""
    sweep_frequency: str = "hourly"
    """How often the schedule looks for what the capture missed (a frequency of ``stockandflow.periodic``)."""
    deliver_frequency: str = "minutely"
    """How often the schedule delivers pending event callables (a frequency of ``stockandflow.periodic``)."""
    queue: str | None = None
    """What carries the messages to workers: ``"celery"`` or ``"tasks"``; None where there are none."""
    scope: str | None = None
    """Dotted path of a function of (request, queryset) that leaves a user's own objects; None where all see all."""
    embed_origins: Sequence[str] = ()
    """The origins whose pages may show those of a process, a stock or a flow in a frame; none unless given."""
    min_cell: int | None = None
    """Groups of fewer objects are hidden from who may not list them; None hides none. Processes may say their own."""


NAMES = tuple(field.name.upper() for field in fields(Conf))


QUEUES = ("celery", "tasks")


def why_no_queue(name: str | None) -> tuple[str, str] | None:
    """Why the setting ``QUEUE`` can't be that, and what to do instead; None when it can."""
    if name is None:
        return None
    if name not in QUEUES:
        return f"It is {name!r}, which is no queue.", f"Write one of {', '.join(map(repr, QUEUES))}, or None."
    if name == "celery" and not find_spec("celery"):
        return "It is 'celery', which isn't installed.", "Install 'django-stockandflow[celery]'."
    if name == "tasks" and not find_spec("django.tasks") and not find_spec("django_tasks"):
        return "It is 'tasks', which isn't in this Django.", "Install django-tasks, or Django 6.0 or later."
    return None


ORIGIN = re.compile(r"'self'|https?://(\*\.)?[a-z0-9.-]+(:\d+|:\*)?")
"""A page that may hold frames, as Content-Security-Policy names it."""


def no_origins(given: Any) -> list[Any]:
    """What of the setting ``EMBED_ORIGINS`` is no origin; the setting itself where it is no list."""
    if not isinstance(given, list | tuple):
        return [given]
    return [one for one in given if not isinstance(one, str) or not ORIGIN.fullmatch(one)]


def why_no_least(number: Any) -> str:
    """What is wrong with a size from which on groups are told, "" where nothing is."""
    if number is None or (isinstance(number, int) and not isinstance(number, bool) and number >= 2):
        return ""
    return f"{number!r}; write a whole number from 2, such as 5, or None"


def given() -> dict[str, Any]:
    """The project's own ``STOCKANDFLOW`` dictionary as written, {} if there is none.

    Raises DeclarationError when it is something else.
    """
    written = getattr(settings, "STOCKANDFLOW", None) or {}
    if not isinstance(written, Mapping):
        raise DeclarationError(
            f"STOCKANDFLOW is {written!r}; write a dictionary, e.g. {{'TIME_ZONE': 'Europe/London'}}."
        )
    return dict(written)


def conf() -> Conf:
    """The settings in force now; unknown keys are left to the system check."""
    known = {key.lower(): value for key, value in given().items() if key in NAMES}
    known.setdefault("time_zone", settings.TIME_ZONE or "UTC")
    return Conf(**known)


def scope_function() -> Callable[..., Any] | None:
    """The function that the setting ``SCOPE`` names, None without one; raises DeclarationError where there is none."""
    path: Any = conf().scope
    if path is None:
        return None
    wanted = "Write the dotted path of a function of (request, queryset), e.g. 'shop.access.own'."
    try:
        found = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise DeclarationError(
            f"STOCKANDFLOW['SCOPE'] is {path!r}, which can't be imported: {error}. {wanted}"
        ) from error
    if not callable(found):
        raise DeclarationError(f"STOCKANDFLOW['SCOPE'] is {path!r}, which names {found!r}. {wanted}")
    function: Callable[..., Any] = found
    return function
