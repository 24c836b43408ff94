"""Processes: stocks and flows that are reported together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from stockandflow.conf import why_no_least
from stockandflow.declarations.flow import Flow
from stockandflow.declarations.home import Home
from stockandflow.declarations.slugs import checked_slug
from stockandflow.declarations.stock import Stock
from stockandflow.exceptions import DeclarationError, NotRegistered
from stockandflow.periods import Calendar

Kind = TypeVar("Kind", Stock, Flow)

RESERVED = ("status", "api", "metrics", "feeds")
"""Slugs that no process may have, since other pages have their addresses."""


class Process:
    """A named group of stocks and flows, reported together.

    ``flows`` default to those registered flows that touch one of the stocks. ``permission`` is needed to see the
    process, e.g. ``"shop.view_subscription"``; without one, ``stockandflow.view_process`` is. ``calendar`` says where
    its days, weeks and years begin; without one, the project's does. ``layout`` puts stocks into the columns and rows
    of the diagram where it says, slug → (column, row), both from 0; the others find places by themselves.
    ``min_cell`` is the size from which on groups are told to who may not list objects; without one, the settings say.
    """

    def __init__(
        self,
        slug: str,
        name: str,
        stocks: Sequence[Stock],
        flows: Sequence[Flow] | None = None,
        description: str = "",
        permission: str | None = None,
        calendar: Calendar | None = None,
        layout: Mapping[str, tuple[int, int]] | None = None,
        min_cell: int | None = None,
    ) -> None:
        self.slug = checked_slug("process", slug)
        self.name, self.description, self.permission = name, description, permission
        self.stocks = self._all_of(Stock, "stocks", stocks)
        if not self.stocks:
            raise DeclarationError(f"The process {slug!r} has no stocks; give it one or more.")
        self.declared_flows = None if flows is None else self._all_of(Flow, "flows", flows)
        parts = permission.split(".") if isinstance(permission, str) else []
        if permission is not None and (len(parts) != 2 or not all(parts)):
            raise DeclarationError(
                f"The process {slug!r} has the permission {permission!r}; write 'app_label.codename', e.g. "
                "'shop.view_subscription'."
            )
        if calendar is not None and not isinstance(calendar, Calendar):
            raise DeclarationError(
                f"The process {slug!r} has the calendar {calendar!r}; write e.g. Calendar('Europe/London')."
            )
        self.declared_calendar = calendar
        self.layout = self._checked_layout({} if layout is None else layout)
        if wrong := why_no_least(min_cell):
            raise DeclarationError(f"The process {slug!r} has the min_cell {wrong} for that of the settings.")
        self.min_cell = min_cell
        self.home = Home()

    def _all_of(self, kind: type[Kind], name: str, given: Iterable[Kind]) -> tuple[Kind, ...]:
        found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        if isinstance(given, kind) or not all(isinstance(one, kind) for one in found):
            raise DeclarationError(
                f"The process {self.slug!r} has the {name} {given!r}; write a list of {kind.__name__} objects."
            )
        if twice := [one.slug for place, one in enumerate(found) if one in found[:place]]:
            raise DeclarationError(f"The process {self.slug!r} lists {twice[0]!r} twice; keep one of them.")
        return found

    def _checked_layout(self, given: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        owner = f"The process {self.slug!r} has the layout"
        if not isinstance(given, Mapping):
            raise DeclarationError(
                f"{owner} {given!r}; write a dict of slug → (column, row), e.g. {{'trial': (0, 0)}}."
            )
        known = [stock.slug for stock in self.stocks]
        taken: dict[tuple[int, int], str] = {}
        for slug, place in given.items():
            if slug not in known:
                raise DeclarationError(
                    f"{owner} of {slug!r}, which is none of its stocks; they are {', '.join(map(repr, known))}."
                )
            if not _is_place(place):
                raise DeclarationError(
                    f"{owner} {place!r} for {slug!r}; write (column, row), whole numbers from 0, e.g. (0, 1)."
                )
            if (other := taken.setdefault((place[0], place[1]), slug)) != slug:
                raise DeclarationError(
                    f"{owner} {place!r} for {other!r} and for {slug!r}; give one of them another row."
                )
        return {slug: (column, row) for slug, (column, row) in given.items()}

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Process {self.slug}>"

    @property
    def calendar(self) -> Calendar:
        """The declared calendar, or the project's as the settings say now."""
        return self.declared_calendar or Calendar.default()

    @property
    def flows(self) -> list[Flow]:
        """The declared flows, or all registered ones that touch a stock of this process, in registered order.

        Raises NotRegistered where they aren't declared and the process isn't registered.
        """
        if self.declared_flows is not None:
            return list(self.declared_flows)
        registry = self.home.registry
        if registry is None:
            raise NotRegistered(
                f"The process {self.slug!r} isn't registered, so its flows aren't known; pass it to register() first."
            )
        mine = set(self.stocks)
        return [flow for flow in registry.flows if mine.intersection(flow.stocks)]


def _is_place(place: object) -> bool:
    return (
        isinstance(place, tuple | list)
        and len(place) == 2
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in place)
    )
