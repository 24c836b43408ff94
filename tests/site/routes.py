"""Every route of the pages as the URLconf has it, with what each is tried with: none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from stockandflow.urls import app_name, pages

MEMBER = "<member>"
"""Stands for the primary key of a member, which only a database knows."""

ARGUMENTS: dict[str, dict[str, str]] = {
    "index": {},
    "status": {},
    "process": {"slug": "membership"},
    "stock": {"slug": "membership", "stock": "active"},
    "work": {"slug": "membership", "stock": "active"},
    "flow": {"slug": "membership", "flow": "converting"},
    "unexplained": {"slug": "membership"},
    "objects": {"slug": "membership"},
    "api-schema": {},
    "api-processes": {},
    "api-process": {"slug": "membership"},
    "api-stock": {"slug": "membership", "stock": "active"},
    "api-flow": {"slug": "membership", "flow": "converting"},
    "api-events": {"slug": "membership"},
    "metrics": {},
    "feed-stock": {"slug": "membership", "stock": "active"},
    "feed-flow": {"slug": "membership", "flow": "converting"},
    "api-nowhere": {"rest": "v2"},
    "timeline": {"slug": "membership", "model": "membership.member", "pk": MEMBER},
}
"""Name of a route → arguments that lead to something of the example."""

QUERIES: dict[str, dict[str, str]] = {"objects": {"kind": "level", "stock": "active"}}
"""Name of a route → the parameters without which it has nothing to show."""


@dataclass(frozen=True)
class Route:
    """One route, where it stands: alone, or among the addresses of an admin site."""

    name: str
    namespaces: tuple[str, ...]

    def __str__(self) -> str:
        return ":".join((*self.namespaces, self.name))

    @property
    def is_page(self) -> bool:
        """Whether people read it, rather than programs."""
        return self.name in {page.name for page in pages}

    @property
    def is_in_admin(self) -> bool:
        """Whether it stands in an admin site's frame."""
        return len(self.namespaces) > 1

    @property
    def query(self) -> dict[str, str]:
        """The parameters without which it has nothing to show."""
        return QUERIES.get(self.name, {})

    def address(self, member: Any = 1, **arguments: Any) -> str:
        """Where it is, with the arguments of ``ARGUMENTS`` but for those given; raises KeyError where it has none."""
        given: Mapping[str, Any] = {**ARGUMENTS[self.name], **arguments}
        return reverse(
            str(self), kwargs={key: member if value == MEMBER else value for key, value in given.items()}
        )


def routes() -> list[Route]:
    """The routes of all places, in the URLconf's order; one without a name has its pattern for one."""
    return [
        Route(name, places) for name, places in _named(get_resolver().url_patterns, ()) if app_name in places
    ]


def _named(
    entries: list[URLPattern | URLResolver], places: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from _named(entry.url_patterns, (*places, *([entry.namespace] if entry.namespace else [])))
        else:
            yield entry.name or str(entry.pattern), places
