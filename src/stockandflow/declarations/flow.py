"""Flows: the named movements of objects between stocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final, Literal

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet

from stockandflow.declarations.facet import AppliedFacet, Facet, applied
from stockandflow.declarations.slugs import LENGTH, checked_slug
from stockandflow.declarations.stock import Stock, stocks_among
from stockandflow.exceptions import DeclarationError, UnknownSlug

if TYPE_CHECKING:
    from stockandflow.models import FlowEvent

State = Any
"""A Stock, None for external, or any other object that stands in for a state without a stock."""

ANY: Final = "*"
"""Every source, or every sink; no slug can be this."""
ELSEWHERE: Final = "~"
"""What a reader is told of a stock that is hidden from him; no slug can be this."""

EventCallable = Callable[..., Any]


def state_key(state: State) -> str:
    """The text under which events keep a state: a stock's slug, "" for external, else the object as text."""
    if state is None:
        return ""
    return state.slug if isinstance(state, Stock) else str(state)


@dataclass(frozen=True, eq=False)
class Flow:
    """A named relation from source stocks to sink stocks, measured per period, e.g. converting: trial → active.

    ``None`` among ``sources`` or ``sinks`` is external. Any other object, such as a string, stands in for a state that
    has no stock. Each of ``event_callables`` is called with (flowed object, source, sink) after an event of this flow
    was committed, and with ``event=`` the event where it has a parameter of that name. With ``ordered`` the events of
    one subject are told one after the other, in the order in which they happened: one that has to be tried again holds
    up those that follow, until it succeeds or is given up. Building a flow makes no query.
    """

    slug: str
    name: str
    flow_event_model: type[FlowEvent]
    sources: Sequence[State]
    sinks: Sequence[State]
    event_callables: Sequence[EventCallable] = ()
    facets: Sequence[AppliedFacet | Facet | tuple[Facet, str]] = ()
    description: str = ""
    ordered: bool = False
    asking: tuple[bool, ...] = field(init=False, repr=False)
    """Which of the event callables ask for the event."""
    _keys: tuple[frozenset[str], frozenset[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checked_slug("flow", self.slug)
        owner = f"The flow {self.slug!r}"
        if not isinstance(self.flow_event_model, type) or not issubclass(self.flow_event_model, Model):
            raise DeclarationError(
                f"{owner} has the flow_event_model {self.flow_event_model!r}; write the class itself, a subclass of "
                "FlowEvent with 'subject = SubjectForeignKey(TheModelThatFlows)'."
            )
        for side in ("sources", "sinks"):
            states = getattr(self, side)
            if isinstance(states, str | Stock) or not isinstance(states, Sequence):
                raise DeclarationError(
                    f"{owner} has the {side} {states!r}; write a list, e.g. [trial] or [None] for external."
                )
            if not states:
                raise DeclarationError(
                    f"{owner} has no {side}; write [None] where objects come from or go outside."
                )
            object.__setattr__(self, side, tuple(states))
        for state in (*self.sources, *self.sinks):
            key = state_key(state)
            if state is not None and (not key or len(key) > LENGTH or key in (ANY, ELSEWHERE)):
                raise DeclarationError(
                    f"{owner} has the state {state!r}, kept as the text {key!r}; a state needs 1 to {LENGTH} "
                    f"characters and can't be {ANY!r} or {ELSEWHERE!r}."
                )
        self._check_keys(owner)
        models = {stock.model._meta.concrete_model: stock for stock in self.stocks}
        if len(models) > 1:
            first, second, *_ = models.values()
            raise DeclarationError(
                f"{owner} connects {first.slug!r}, a stock of {first.model._meta.label}, with {second.slug!r}, a stock "
                f"of {second.model._meta.label}; an object can't change its model, so declare one flow for each."
            )
        if not isinstance(self.event_callables, Sequence) or not all(map(callable, self.event_callables)):
            raise DeclarationError(
                f"{owner} has the event_callables {self.event_callables!r}; write a list of functions of "
                "(flowed_obj, source, sink)."
            )
        object.__setattr__(self, "event_callables", tuple(self.event_callables))
        object.__setattr__(self, "asking", tuple(map(_asks_for_event, self.event_callables)))
        object.__setattr__(self, "facets", applied(owner, self.facets))
        keys = frozenset(map(state_key, self.sources)), frozenset(map(state_key, self.sinks))
        object.__setattr__(self, "_keys", keys)

    def _check_keys(self, owner: str) -> None:
        first: dict[str, State] = {}
        for state in (*self.sources, *self.sinks):
            other = first.setdefault(state_key(state), state)
            if other is not state and (isinstance(state, Stock) or other != state):
                raise DeclarationError(
                    f"{owner} has the states {other!r} and {state!r}, both kept as the text {state_key(state)!r}, so "
                    "its events couldn't tell them apart; use one of them, or another stand-in."
                )

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Flow {self.slug}>"

    @classmethod
    def for_stocks(
        cls,
        flow_event_model: type[FlowEvent],
        stocks: Sequence[Stock],
        *,
        facets: Sequence[Facet | tuple[Facet, str]] = (),
        leaving: str = "",
    ) -> list[Flow]:
        """Flows that cover every move within one dimension, each move by one flow.

        One flow into each stock, from all others and from external (slug ``to-<stock>``), and one that leaves them
        all (slug ``leaving``, else ``leaving-<prefix>``, the whole words that the stocks' slugs begin with alike, else
        the model's name). Goes with ``Stock.for_choices``.
        """
        if isinstance(stocks, Stock) or not isinstance(stocks, Sequence) or not stocks:
            raise DeclarationError(
                f"Flow.for_stocks() got {stocks!r} as stocks; pass a list of the stocks of one dimension."
            )
        if wrong := [stock for stock in stocks if not isinstance(stock, Stock)]:
            raise DeclarationError(
                f"Flow.for_stocks() got {wrong[0]!r} among its stocks; pass Stock objects."
            )
        flows = [
            cls(
                slug=f"to-{stock.slug}",
                name=f"Becoming {stock.name}",
                flow_event_model=flow_event_model,
                sources=[None, *(other for other in stocks if other is not stock)],
                sinks=[stock],
                facets=facets,
            )
            for stock in stocks
        ]
        model_name = stocks[0].model._meta.model_name or "objects"
        out = cls(
            slug=leaving or f"leaving-{_common_start(stocks) or model_name}",
            name="Leaving",
            flow_event_model=flow_event_model,
            sources=list(stocks),
            sinks=[None],
            facets=facets,
        )
        return [*flows, out]

    @property
    def applied_facets(self) -> tuple[AppliedFacet, ...]:
        """The facets with their prefixes, in declared order."""
        return tuple(self.facets)  # type: ignore[arg-type]

    def get_facet(self, facet_slug: str) -> AppliedFacet:
        """The facet with that slug; raises UnknownSlug, naming this flow's facets."""
        for facet in self.applied_facets:
            if facet.slug == facet_slug:
                return facet
        raise UnknownSlug(
            f"facet of the flow {self.slug!r}", facet_slug, [f.slug for f in self.applied_facets]
        )

    @property
    def stocks(self) -> list[Stock]:
        """The stocks that the flow touches, each once, sources first."""
        return stocks_among([*self.sources, *self.sinks])

    @property
    def subject_model(self) -> type[Model]:
        """The model of the objects that flow."""
        model = subject_of(self.flow_event_model)
        if model is None:
            raise DeclarationError(
                f"{self.flow_event_model._meta.label} has no 'subject' that points at the objects that flow; add "
                "'subject = SubjectForeignKey(TheModelThatFlows)' to it."
            )
        return model

    def covers(self, source: State, sink: State) -> bool:
        """Whether the flow leads from ``source`` to ``sink``, given as states or as their keys."""
        source, sink = state_key(source), state_key(sink)
        return source != sink and source in self._keys[0] and sink in self._keys[1]

    def state(self, key: str) -> State:
        """The source or sink that events keep as ``key``: a Stock, None, a stand-in, else the key itself."""
        for state in (*self.sources, *self.sinks):
            if state_key(state) == key:
                return state
        return key or None

    def add_event(
        self,
        flowed_obj: Model,
        source: State = None,
        sink: State = None,
        *,
        timestamp: datetime | None = None,
    ) -> FlowEvent | None:
        """Record that the object moved, and have the event callables called after commit.

        Returns the event, or None when the flow doesn't lead from ``source`` to ``sink``. ``timestamp`` is when it
        happened, the database's now unless given. Raises InvalidInput for an object of another model or one that was
        never saved. Two queries at most.
        """
        if not self.covers(source, sink):
            return None
        return self.flow_event_model.record_move(
            self, flowed_obj, state_key(source), state_key(sink), timestamp
        )

    def all(
        self, source: State | Literal["*"] = ANY, sink: State | Literal["*"] = ANY
    ) -> QuerySet[FlowEvent]:
        """The flow's events, newest first; of one source or sink where given (None: external). No query yet."""
        events: QuerySet[FlowEvent] = self.flow_event_model._default_manager.filter(flow=self.slug)
        if state_key(source) != ANY:
            events = events.filter(source=state_key(source))
        if state_key(sink) != ANY:
            events = events.filter(sink=state_key(sink))
        return events

    def count(self, source: State | Literal["*"] = ANY, sink: State | Literal["*"] = ANY) -> int:
        """How many events the flow has, of one source or sink where given. One query."""
        return self.all(source, sink).order_by().count()


def subject_of(event_model: type[Model]) -> type[Model] | None:
    """The model that the events' subjects are of; None where they have none."""
    events: Any = event_model._meta
    try:
        model: type[Model] = events.get_field("subject").remote_field.model
    except (FieldDoesNotExist, AttributeError):
        return None
    return model


def _common_start(stocks: Sequence[Stock]) -> str:
    start = stocks[0].slug
    for stock in stocks[1:]:
        while start and not stock.slug.startswith(start):
            start = start[:-1]
    # Whole words only: were "lead-n" the start of lead-new and lead-nurtured, a choice more would rename the flow.
    return start[: max(start.rfind("-"), start.rfind("_")) + 1].rstrip("-_") if len(stocks) > 1 else ""


def _asks_for_event(function: EventCallable) -> bool:
    try:
        asked = signature(function).parameters.get("event")
    except (TypeError, ValueError):
        return False  # some callables written in C tell nothing
    return asked is not None and asked.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
