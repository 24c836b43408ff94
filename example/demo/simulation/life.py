"""What the simulation makes: the lives of members, tickets and leads, as moves from state to state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

OUTSIDE = ""
"""Before the beginning and after the end."""

Facets = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Move:
    """One change of state; ``facets`` are facet slug → value as text (None for NULL), as they were then."""

    at: datetime
    source: str
    sink: str
    facets: Facets


@dataclass(slots=True, kw_only=True)
class Life:
    """One object's moves, in order, the first from outside. Ids count up in the order of the beginnings."""

    id: int = 0
    moves: list[Move] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Where the object stands now; OUTSIDE when it is gone."""
        return self.moves[-1].sink

    @property
    def began(self) -> datetime:
        return self.moves[0].at

    @property
    def since(self) -> datetime:
        """Since when it has stood where it stands."""
        return self.moves[-1].at

    @property
    def gone(self) -> bool:
        return self.state == OUTSIDE


@dataclass(slots=True, kw_only=True)
class Member(Life):
    """A member; states are those of ``membership.Status``."""

    name: str
    plan: str
    country: str | None


@dataclass(slots=True, kw_only=True)
class Ticket(Life):
    """A member's ticket; states are those of ``support.Status``. ``escalations`` are moves of urgency alone."""

    member: Member
    title: str
    channel: str
    escalations: list[Move] = field(default_factory=list)

    @property
    def urgent(self) -> bool:
        return bool(self.escalations) and self.escalations[-1].sink != OUTSIDE


@dataclass(slots=True, kw_only=True)
class Lead(Life):
    """A lead; states are those of ``leads.Status``. ``member`` is whom it became."""

    name: str
    source: str
    member: Member | None = None
    last_contact_at: datetime


LifeT = TypeVar("LifeT", bound=Life)


def numbered(lives: list[LifeT]) -> list[LifeT]:
    """The lives in the order of their beginnings, with ids from 1.

    The last one isn't over: a database counts on from the highest id that it holds, and must give no id twice.
    """
    lives = sorted(lives, key=lambda life: life.began)
    while lives and lives[-1].gone:
        lives.pop()
    for number, life in enumerate(lives, start=1):
        life.id = number
    return lives
