"""The registry: what a project has declared, findable by slug."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import Any, TypeVar

from django.apps import apps
from django.db.models import Model, QuerySet
from django.utils.module_loading import module_has_submodule

from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import AutodiscoveryError, DeclarationError, UnknownSlug
from stockandflow.periods import Calendar

MODULE = "stocksandflows"
"""The module of an installed app that holds its declarations."""

Named = TypeVar("Named", Stock, Flow, Process, ModelTracker)
Listener = Callable[[ModelTracker], None]


class Registry:
    """All stocks, flows, trackers and processes of a project, each once, in the order in which they came.

    Declarations with equal slugs are both kept, so that the system check can name them; a look-up gives the first.

    A test makes its own. There is one with ``is_projects``, the default of this module: a stock or a process that it
    took asks it for its neighbours, whatever other registry takes it too; any other asks the last one that took it.
    """

    def __init__(self, *, is_projects: bool = False) -> None:
        self.is_projects = is_projects
        self.stocks: list[Stock] = []
        self.flows: list[Flow] = []
        self.trackers: list[ModelTracker] = []
        self.processes: list[Process] = []
        self._listeners: list[tuple[Listener, Listener | None]] = []
        self._unheard: list[ModelTracker] | None = None

    def register(self, *declarations: Stock | Flow | ModelTracker | Process) -> None:
        """Add declarations, and with each what it reaches: a tracker's and a process's stocks and flows, a flow's
        stocks. Adding one again changes nothing. No query.
        """
        for declaration in declarations:
            if not isinstance(declaration, Stock | Flow | ModelTracker | Process):
                # A queryset's repr would ask the database, which isn't there yet.
                kind = type(declaration).__name__
                given = f"a {kind}" if isinstance(declaration, QuerySet) else repr(declaration)
                raise DeclarationError(
                    f"register() got {given}; it takes Stock, Flow, ModelTracker and Process objects, not lists "
                    "of them: write register(*stocks)."
                )
        for declaration in declarations:
            if isinstance(declaration, Stock):
                self._add(self.stocks, declaration)
                declaration.home.take(self)
            elif isinstance(declaration, Flow):
                self._add(self.flows, declaration)
                self.register(*declaration.stocks)
            elif isinstance(declaration, ModelTracker):
                self.register(*declaration.stocks, *declaration.flows)
                if self._add(self.trackers, declaration):
                    self._tell(declaration)
            else:
                self.register(*declaration.stocks, *(declaration.declared_flows or ()))
                self._add(self.processes, declaration)
                declaration.home.take(self)

    @staticmethod
    def _add(known: list[Any], declaration: Any) -> bool:
        if declaration in known:
            return False
        known.append(declaration)
        return True

    def on_tracker(self, listener: Listener, leaving: Listener | None = None) -> None:
        """Have ``listener`` called with every tracker, those here already and those to come.

        It hears of what a transaction registers when that has ended well, and of one tracker more than once where
        others were set aside. ``leaving`` is called with every tracker that is set aside.
        """
        self._listeners.append((listener, leaving))
        for tracker in self.trackers:
            if self._unheard is None or tracker not in self._unheard:
                listener(tracker)

    def _tell(self, tracker: ModelTracker) -> None:
        if self._unheard is not None:
            self._unheard.append(tracker)  # a listener can't take back what it did
            return
        for listener, _ in self._listeners:
            listener(tracker)

    def _tell_leaving(self, tracker: ModelTracker) -> None:
        for _, leaving in self._listeners:
            if leaving is not None:
                leaving(tracker)

    def stock(self, slug: str) -> Stock:
        """The stock with that slug; raises UnknownSlug with the nearest known one."""
        return self._by_slug("stock", self.stocks, slug)

    def flow(self, slug: str) -> Flow:
        """The flow with that slug; raises UnknownSlug with the nearest known one."""
        return self._by_slug("flow", self.flows, slug)

    def process(self, slug: str) -> Process:
        """The process with that slug; raises UnknownSlug with the nearest known one."""
        return self._by_slug("process", self.processes, slug)

    def tracker(self, slug: str) -> ModelTracker:
        """The tracker with that slug; raises UnknownSlug with the nearest known one."""
        return self._by_slug("tracker", self.trackers, slug)

    @staticmethod
    def _by_slug(kind: str, known: Sequence[Named], slug: str) -> Named:
        for declaration in known:
            if declaration.slug == slug:
                return declaration
        raise UnknownSlug(kind, slug, {declaration.slug for declaration in known})

    def inflows(self, stock: Stock) -> list[Flow]:
        """The flows with this stock as a sink, in registered order."""
        return [flow for flow in self.flows if stock in flow.sinks]

    def outflows(self, stock: Stock) -> list[Flow]:
        """The flows with this stock as a source, in registered order."""
        return [flow for flow in self.flows if stock in flow.sources]

    def tracker_of(self, stock: Stock) -> ModelTracker | None:
        """The tracker that captures this stock's moves; None for a stock that is only counted."""
        return next((tracker for tracker in self.trackers if stock in tracker.stocks), None)

    def trackers_of(self, model: type[Model]) -> list[ModelTracker]:
        """The trackers that watch a model."""
        return [
            tracker
            for tracker in self.trackers
            if tracker.model._meta.concrete_model is model._meta.concrete_model
        ]

    def event_models(self) -> list[type[Any]]:
        """The event models of all flows and trackers, each once."""
        models = [flow.flow_event_model for flow in self.flows] + [
            tracker.events for tracker in self.trackers
        ]
        return list(dict.fromkeys(models))

    def event_models_of(self, stock: Stock) -> set[type[Any]]:
        """The event models that can hold moves into or out of a stock."""
        tracker = self.tracker_of(stock)
        flows = [*self.inflows(stock), *self.outflows(stock)]
        return {flow.flow_event_model for flow in flows} | ({tracker.events} if tracker else set())

    def calendars(self) -> tuple[Calendar, ...]:
        """The calendars in use, each once: the project's, and those that processes have of their own."""
        return tuple(dict.fromkeys([Calendar.default(), *(process.calendar for process in self.processes)]))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take back everything registered inside, should the block raise."""
        kept = list(self.stocks), list(self.flows), list(self.trackers), list(self.processes)
        heard, self._unheard = self._unheard, []
        try:
            yield
        except BaseException:
            taken: set[Stock | Process] = {*self.stocks, *self.processes}
            for declaration in taken - {*kept[0], *kept[3]}:
                declaration.home.leave(self)
            self.stocks, self.flows, self.trackers, self.processes = kept
            self._unheard = heard
            raise
        trackers, self._unheard = self._unheard, heard
        for tracker in trackers:
            self._tell(tracker)

    @contextmanager
    def set_aside(self, *, copy: bool = False) -> Iterator[None]:
        """Hold nothing inside, or with ``copy`` what is held now; whatever comes in between, all is as before after.

        Listeners that come inside go again. For tests.
        """
        kept = list(self.stocks), list(self.flows), list(self.trackers), list(self.processes)
        listeners, unheard = list(self._listeners), self._unheard
        if not copy:
            for tracker in self.trackers:
                self._tell_leaving(tracker)
            self.stocks, self.flows, self.trackers, self.processes = [], [], [], []
        self._unheard = None
        try:
            yield
        finally:
            for tracker in self.trackers:
                if tracker not in kept[2]:
                    self._tell_leaving(tracker)
            strangers: set[Stock | Process] = {*self.stocks, *self.processes}
            for declaration in strangers - {*kept[0], *kept[3]}:
                declaration.home.leave(self)
            self.stocks, self.flows, self.trackers, self.processes = kept
            self._listeners = listeners
            for tracker in self.trackers:
                if unheard is None or tracker not in unheard:
                    self._tell(tracker)
            self._unheard = unheard

    def autodiscover(self, *others: Callable[[], AbstractContextManager[None]]) -> None:
        """Import ``stocksandflows`` of every installed app that has one.

        A module that raises leaves nothing behind, here or in ``others`` (functions that give a context which takes
        back what was registered inside it), and AutodiscoveryError names it.
        """
        for app in apps.get_app_configs():
            name, loaded = f"{app.name}.{MODULE}", set(sys.modules)
            try:
                with ExitStack() as stack:
                    for context in (self.transaction, *others):
                        stack.enter_context(context())
                    import_module(name)
            except Exception as error:
                if isinstance(error, ModuleNotFoundError) and not module_has_submodule(app.module, MODULE):
                    continue
                # Other apps' declarations that it imported are taken back too, so they must be run again.
                for module in set(sys.modules) - loaded:
                    if module.endswith(f".{MODULE}"):
                        del sys.modules[module]
                raise AutodiscoveryError(
                    f"{name} could not be loaded, and nothing it declares is registered: "
                    f"{type(error).__name__}: {str(error).rstrip('.')}. Mend the module; its own traceback is above."
                ) from error


registry = Registry(is_projects=True)
"""The project's registry."""

register = registry.register
"""Register declarations in the project's registry."""
