"""The schedule: what a project wants called, and how often. Registering runs nothing and asks no database."""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from stockandflow.exceptions import DeclarationError, InvalidInput, did_you_mean
from stockandflow.periodic.cron import Cron, bounds_of, frequency_of
from stockandflow.periodic.frequencies import Bounds, Frequency
from stockandflow.periods import Calendar

CatchUp = Literal["latest", "skip", "all"]

LEASE = timedelta(minutes=5)
"""How long an entry belongs to a runner that gives no sign of life; a running one renews it."""
SHORTEST_LEASE = timedelta(seconds=1)
LONGEST_NAME = 200
ASKED = ("period", "idempotency_key")
"""Parameters that an entry's callable gets when it has them and neither arguments nor defaults fill them."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A callable that is called once for every period of its frequency. Made by ``Schedule.register``."""

    frequency: Frequency | Cron
    to_call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(repr=False)
    name: str
    catch_up: CatchUp
    lease: timedelta
    declared_calendar: Calendar | None
    atomic: bool
    asking: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def calendar(self) -> Calendar:
        """Where its days and weeks begin: the one that it was registered with, else the project's."""
        return self.declared_calendar or Calendar.default()

    def period(self, at: datetime) -> Bounds | None:
        """Its period that contains ``at``; None when it never runs."""
        return bounds_of(self.frequency, self.calendar, at)

    @property
    def takes_periods(self) -> bool:
        """Whether one that was missed can be run for by itself: its callable asks which, and none is caught up with."""
        return "period" in self.asking and self.catch_up != "all"

    def idempotency_key(self, period: Bounds) -> str:
        """A text that no other period and no other entry has, the same at each attempt."""
        return f"{self.name} {period.start.astimezone(UTC).isoformat()}"

    def call(self, period: Bounds) -> Any:
        """Call it for a period, with its arguments and with those that it asks for."""
        given = {"period": period, "idempotency_key": self.idempotency_key(period)}
        return self.to_call(*self.args, **self.kwargs, **{name: given[name] for name in self.asking})


class Schedule:
    """Entries, each with a name of its own, in the order in which they were registered and are run."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    @property
    def entries(self) -> list[Entry]:
        """All entries, those that never run included."""
        return list(self._entries.values())

    def register(
        self,
        frequency: Frequency | Cron | str,
        to_call: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        catch_up: CatchUp = "latest",
        lease: timedelta = LEASE,
        calendar: Calendar | None = None,
        atomic: bool | None = None,
    ) -> Entry:
        """Have ``to_call(*args, **kwargs)`` called once for every period; what it returns is kept as text.

        ``frequency`` is one of the constants, or a cron expression such as ``"30 7 * * MON-FRI"`` (with the extra
        ``[cron]``), whose periods begin whenever it comes true.

        It is called early in a period, at the first run of the schedule in it. The first time that the
        schedule sees an entry, it is run for the period under way. ``catch_up`` says what to do for periods
        in which the schedule didn't run:

        - ``"latest"``: the missed ones stay gaps, and the one under way is run, however late.
        - ``"skip"``: so does the one under way, when a whole period or more was missed, or when the entry is
          new; the next one is run when it begins.
        - ``"all"``: each missed one is run, oldest first, and one that fails holds up those after it.

        The call runs in a transaction of the schedule's database, which commits together with the note that
        the period is done, so that its effects there happen exactly once; effects elsewhere at least once.
        With ``atomic=False`` it is called in no transaction and sees to its own; it may then return a
        function, which is called, as the last step, in the transaction that notes the period as done, and
        returns the message. Unless given it is what ``to_call`` says of itself (a ``Decay`` isn't atomic), else True.

        A required parameter ``period`` that no argument fills gets the period's ``Bounds``, a required
        ``idempotency_key`` a text that is the same at each attempt for the period, and for no other.

        ``lease`` is how long a runner that died keeps others from taking the period over. ``calendar`` says
        where days and weeks begin, the project's by default. ``name`` identifies the entry in the database
        and must stay; by default it is the function's dotted path, or ``<slug>.<method>`` for a method of a
        stock or a flow, or what ``to_call.entry_name`` says.

        Raises DeclarationError for anything that can't be right.
        """
        entry = Entry(
            frequency=_checked_frequency(frequency, to_call),
            to_call=to_call,
            args=_checked_args(args, to_call),
            kwargs=_checked_kwargs(kwargs, to_call),
            name=_checked_name(to_call, name),
            catch_up=_checked_catch_up(catch_up, to_call),
            lease=_checked_lease(lease, to_call),
            declared_calendar=_checked_calendar(calendar, to_call),
            atomic=bool(getattr(to_call, "atomic", True) if atomic is None else atomic),
        )
        entry = replace(entry, asking=_asked(entry))
        _check_signature(entry)
        if known := self._entries.get(alike(entry.name)):
            raise DeclarationError(
                f"The schedule has an entry {known.name!r} already, which calls {known.to_call!r}; give this "
                f"one, which calls {to_call!r}, another name: register(…, name='…')."
            )
        self._entries[alike(entry.name)] = entry
        return entry

    def entry(self, name: str) -> Entry:
        """The entry of that name; raises InvalidInput with the nearest known one."""
        found = self._entries.get(alike(name))
        if found is None:
            known = sorted(entry.name for entry in self.entries)
            have = f"It has {', '.join(map(repr, known))}." if known else "It is empty."
            raise InvalidInput(f"The schedule has no entry {name!r}.{did_you_mean(name, known)} {have}")
        return found

    def chosen(self, only: Sequence[str] | None) -> list[Entry]:
        """The entries of those names, in the order of the schedule; all for None. Raises InvalidInput."""
        if only is None:
            return self.entries
        names = {self.entry(name).name for name in ([only] if isinstance(only, str) else only)}
        return [entry for entry in self.entries if entry.name in names]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take back everything registered inside, should the block raise."""
        kept = dict(self._entries)
        try:
            yield
        except BaseException:
            self._entries = kept
            raise

    @contextmanager
    def set_aside(self, *, copy: bool = False) -> Iterator[None]:
        """Hold nothing inside, or with ``copy`` what is held now; all is as before after. For tests."""
        kept, self._entries = self._entries, dict(self._entries) if copy else {}
        try:
            yield
        finally:
            self._entries = kept


def _checked_frequency(frequency: Any, to_call: Any) -> Frequency | Cron:
    try:
        return frequency_of(frequency)
    except DeclarationError:
        raise
    except ValueError as error:
        raise DeclarationError(
            f"{to_call!r} is to be called {frequency!r}, which is no frequency; write one of "
            f"{', '.join(f'periodic.{known.name}' for known in Frequency)}, or a cron expression."
        ) from error


def _checked_args(args: Any, to_call: Any) -> tuple[Any, ...]:
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise DeclarationError(f"{to_call!r} is to be called with args={args!r}; write a list or a tuple.")
    return tuple(args)


def _checked_kwargs(kwargs: Any, to_call: Any) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise DeclarationError(
            f"{to_call!r} is to be called with kwargs={kwargs!r}; write a dict of name → value."
        )
    return dict(kwargs)


def _checked_name(to_call: Any, name: Any) -> str:
    if not callable(to_call):
        raise DeclarationError(
            f"The schedule got {to_call!r} to call, which isn't callable; pass the function itself, not what "
            "it returns: register(periodic.DAILY, function, args=[…])."
        )
    found = name if name is not None else _own_name(to_call)
    if found is None:
        raise DeclarationError(
            f"{to_call!r} has no name of its own; give the entry one: register(…, name='…')."
        )
    if not isinstance(found, str) or not 1 <= len(found) <= LONGEST_NAME or found != found.strip():
        raise DeclarationError(
            f"The entry of {to_call!r} can't be named {found!r}; write 1 to {LONGEST_NAME} characters, without "
            "blanks around them."
        )
    return found


def alike(name: str) -> str:
    """The name without what MariaDB's usual collations don't tell apart: two such names would share a row."""
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join("\ufffd" if part > "\uffff" else part for part in parts if not unicodedata.combining(part))


def _own_name(to_call: Any) -> str | None:
    if isinstance(own := getattr(to_call, "entry_name", None), str):
        return own
    slug = getattr(getattr(to_call, "__self__", None), "slug", None)
    if isinstance(slug, str):
        return f"{slug}.{to_call.__name__}"
    qualname = getattr(to_call, "__qualname__", None)
    return None if qualname is None else f"{to_call.__module__}.{qualname}"


def _checked_catch_up(catch_up: Any, to_call: Any) -> CatchUp:
    if catch_up not in get_args(CatchUp):
        raise DeclarationError(
            f"{to_call!r} has catch_up={catch_up!r}; write one of {', '.join(map(repr, get_args(CatchUp)))}."
        )
    known: CatchUp = catch_up
    return known


def _checked_lease(lease: Any, to_call: Any) -> timedelta:
    if not isinstance(lease, timedelta) or lease < SHORTEST_LEASE:
        raise DeclarationError(
            f"{to_call!r} has the lease {lease!r}; write a timedelta of a second or more, e.g. "
            "timedelta(minutes=5)."
        )
    return lease


def _checked_calendar(calendar: Any, to_call: Any) -> Calendar | None:
    if calendar is not None and not isinstance(calendar, Calendar):
        raise DeclarationError(
            f"{to_call!r} has the calendar {calendar!r}; write a Calendar, e.g. Calendar('America/New_York')."
        )
    return calendar


def _signature(to_call: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(to_call)
    except (TypeError, ValueError):
        return None  # some callables written in C tell nothing


def _asked(entry: Entry) -> tuple[str, ...]:
    signature = _signature(entry.to_call)
    if signature is None:
        return ()
    try:
        filled = signature.bind_partial(*entry.args, **entry.kwargs).arguments
    except TypeError:
        return ()  # _check_signature tells
    return tuple(
        name
        for name in ASKED
        if (found := signature.parameters.get(name)) is not None
        and name not in filled
        and found.default is inspect.Parameter.empty
        and found.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    )


def _check_signature(entry: Entry) -> None:
    signature = _signature(entry.to_call)
    if signature is None:
        return
    try:
        signature.bind(*entry.args, **entry.kwargs, **dict.fromkeys(entry.asking))
    except TypeError as error:
        raise DeclarationError(
            f"The entry {entry.name!r} can't be called with args={list(entry.args)!r} and "
            f"kwargs={dict(entry.kwargs)!r}: {error}."
        ) from error


schedule = Schedule()
"""The project's schedule."""
