"""Trackers: what turns changes of a model into flow events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import router
from django.db.models import Model

from stockandflow.declarations.facet import AppliedFacet
from stockandflow.declarations.flow import Flow, State, subject_of
from stockandflow.declarations.slugs import checked_slug
from stockandflow.declarations.stock import Stock
from stockandflow.exceptions import DeclarationError

if TYPE_CHECKING:
    from stockandflow.models import FlowEvent
    from stockandflow.models.importing import Imported

Values = tuple[Any, ...]
States = tuple[State, ...]
StatesToStocks = Callable[[Values | None, Values], tuple[States, States]]


@dataclass(frozen=True, eq=False)
class ModelTracker:
    """Watches one model for one dimension, and writes a flow event whenever an object changes its stock.

    Derived: ``ModelTracker(stocks=[…], flows=[…])``. Membership is read from the stocks' own querysets, which exclude
    each other; several trackers may watch one model, each with a ``slug`` of its own.

    By function: ``ModelTracker(["status"], states_to_stocks, stocks, flows)``. The function gets the previous and the
    current values of ``fields_to_track``, as tuples in that order (previous is None on creation), and returns two
    tuples of states, compared element by element, so that it may serve several dimensions at once.

    ``event_model`` is needed only where there are no flows to tell it. ``slug`` names the tracker in its events;
    by default it is the model's label, e.g. ``shop.subscription``. ``exhaustive`` promises that every object stands in
    one of the stocks; an audit names those that don't.
    """

    fields_to_track: Sequence[str] = ()
    states_to_stocks_func: StatesToStocks | None = None
    stocks: Sequence[Stock] = ()
    flows: Sequence[Flow] = ()
    slug: str = ""
    event_model: type[FlowEvent] | None = None
    exhaustive: bool = False

    def __post_init__(self) -> None:
        self._check_given()
        self._check_form()
        subjects = [*(stock.model for stock in self.stocks), *(flow.subject_model for flow in self.flows)]
        if self.event_model is not None and (subject := subject_of(self.event_model)) is not None:
            subjects.append(subject)  # one without a subject is told by the system check
        models = {model._meta.concrete_model: model for model in subjects}
        if len(models) > 1:
            first, second, *_ = models.values()
            raise DeclarationError(
                f"A ModelTracker watches {first._meta.label} and {second._meta.label}; declare one for each model."
            )
        querysets: list[Any] = [stock.queryset for stock in self.stocks]
        databases = dict.fromkeys(queryset._db or "default" for queryset in querysets)
        if len(databases) > 1:
            raise DeclarationError(
                f"A ModelTracker has stocks of the databases {', '.join(map(repr, databases))}; declare one for each, "
                "with slugs of their own."
            )
        events = {flow.flow_event_model for flow in self.flows} | ({self.event_model} - {None})
        if len(events) != 1:
            names = sorted(model._meta.label for model in events if model is not None)
            raise DeclarationError(
                f"The ModelTracker of {subjects[0]._meta.label} "
                + (
                    f"has flows with different event models, {' and '.join(names)}; give its flows one event model."
                    if names
                    else "knows no event model; give it flows, or event_model=…."
                )
            )
        object.__setattr__(self, "event_model", next(iter(events)))
        object.__setattr__(self, "slug", self.slug or subjects[0]._meta.label_lower)
        checked_slug("tracker", self.slug.replace(".", "-") if isinstance(self.slug, str) else self.slug)

    def _check_given(self) -> None:
        for name in ("fields_to_track", "stocks", "flows"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise DeclarationError(f"A ModelTracker has {given!r} as {name}; write a list.")
            object.__setattr__(self, name, tuple(given))
        if wrong := [stock for stock in self.stocks if not isinstance(stock, Stock)]:
            raise DeclarationError(f"A ModelTracker has {wrong[0]!r} among its stocks; write Stock objects.")
        if strangers := [flow for flow in self.flows if not isinstance(flow, Flow)]:
            raise DeclarationError(
                f"A ModelTracker has {strangers[0]!r} among its flows; write Flow objects."
            )
        given_twice = [*self.stocks, *self.flows]
        if twice := [one for place, one in enumerate(given_twice) if one in given_twice[:place]]:
            raise DeclarationError(f"A ModelTracker lists {twice[0]!r} twice; keep one of them.")
        if self.event_model is not None and not (
            isinstance(self.event_model, type) and issubclass(self.event_model, Model)
        ):
            raise DeclarationError(
                f"A ModelTracker has event_model={self.event_model!r}; write the class itself, a subclass of FlowEvent."
            )

    def _check_form(self) -> None:
        if bool(self.fields_to_track) != (self.states_to_stocks_func is not None):
            raise DeclarationError(
                f"A ModelTracker has fields_to_track={self.fields_to_track!r} and "
                f"states_to_stocks_func={self.states_to_stocks_func!r}; give both, or neither to derive the moves "
                "from the stocks' querysets."
            )
        if self.states_to_stocks_func is not None and not callable(self.states_to_stocks_func):
            raise DeclarationError(
                f"A ModelTracker has states_to_stocks_func={self.states_to_stocks_func!r}; write a function of "
                "(previous values, current values)."
            )
        if not self.stocks and not self.flows:
            raise DeclarationError(
                "A ModelTracker has neither stocks nor flows, so it has no model to watch."
            )
        if self.derived and not self.stocks:
            raise DeclarationError(
                "A ModelTracker without stocks can't derive moves; give it stocks, or fields_to_track and "
                "states_to_stocks_func."
            )

    def __repr__(self) -> str:
        return f"<ModelTracker {self.slug}>"

    @property
    def derived(self) -> bool:
        """Whether the moves come from the stocks' querysets, not from a function."""
        return self.states_to_stocks_func is None

    @property
    def model(self) -> type[Model]:
        """The model whose objects move."""
        return self.stocks[0].model if self.stocks else self.flows[0].subject_model

    @property
    def events(self) -> type[FlowEvent]:
        """The model of the events."""
        event_model: Any = self.event_model  # set at construction
        found: type[FlowEvent] = event_model
        return found

    @property
    def database(self) -> str:
        """The alias of the database that the subjects are written to, and their events."""
        stated: Any = self.stocks[0].queryset if self.stocks else None
        return (stated is not None and stated._db) or router.db_for_write(self.model)

    def import_events(
        self,
        rows: Iterable[Any],
        *,
        timezone: str | None = None,
        allow_missing_subjects: bool = False,
        dry_run: bool = False,
    ) -> Imported:
        """Bring in moves from before the capture, (subject key, timestamp, from, to) each; all of them or none.

        Each subject's moves stand in the order of time, begin outside and lead on from where the last one led to, and
        end before the first event that was captured and meet it. An opening balance is replaced by its history.
        ``timezone`` is that of naive timestamps and dates; ``allow_missing_subjects`` takes keys of objects that are
        gone, whose history ends outside. Rows that are there already are passed over, so importing twice changes
        nothing. Raises HistoryRefused with every problem by line. Nothing is delivered to event callables. ``dry_run``
        writes nothing.
        """
        return self.events.import_moves(
            self,
            rows,
            timezone=timezone,
            allow_missing_subjects=allow_missing_subjects,
            dry_run=dry_run,
        )

    def exact_since(self) -> datetime | None:
        """Since when the events tell where each subject stood; None while they can't. Three queries, or six.

        That is the last opening balance: where its subjects were before isn't known. Where there is none, the first
        event, or the opening of a tracker that had no subjects yet. Importing the history of all subjects in the
        opening balance takes it back to the first imported move; what is exact is then as complete as that history.
        """
        return self.events.exactness(self).since

    def flow_for(self, source: State, sink: State) -> Flow | None:
        """The first flow that covers this move, None for a move that no flow covers."""
        return next((flow for flow in self.flows if flow.covers(source, sink)), None)

    @property
    def applied_facets(self) -> dict[str, AppliedFacet]:
        """Facet slug → facet, of all flows and stocks: what an event keeps of its subject."""
        owners: list[Stock | Flow] = [*self.stocks, *self.flows]
        return {facet.slug: facet for owner in owners for facet in owner.applied_facets}
