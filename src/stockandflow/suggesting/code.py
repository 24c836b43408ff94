"""The text of a suggestion: Python for models.py and stocksandflows.py, as ruff would format it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db import models

from stockandflow.declarations import Flow, Stock
from stockandflow.models import FlowEvent
from stockandflow.registry import Registry
from stockandflow.suggesting import places
from stockandflow.suggesting.dimensions import Condition, Dimension
from stockandflow.suggesting.facets import SuggestedFacet
from stockandflow.suggesting.looking import Look
from stockandflow.suggesting.names import Names, call, literal, sentence, slug_of, words_of

PACKAGE = "Facet", "Flow", "ModelTracker", "Process", "Stock", "register"
"""What a declaration imports; no model goes by these names."""


@dataclass
class Taken:
    """The names that the project has, and those of this suggestion so far."""

    stocks: Names
    flows: Names
    processes: Names
    trackers: Names
    facets: dict[type[models.Model], Names] = field(default_factory=dict)

    @classmethod
    def of(cls, registry: Registry) -> Taken:
        """The slugs of everything registered, and the stand-ins of flows, which are kept where slugs are."""
        states = [str(state) for flow in registry.flows for state in (*flow.sources, *flow.sinks) if state]
        taken = cls(
            stocks=Names([*(stock.slug for stock in registry.stocks), *states]),
            flows=Names(flow.slug for flow in registry.flows),
            processes=Names(process.slug for process in registry.processes),
            trackers=Names(tracker.slug for tracker in registry.trackers),
        )
        owners: list[Stock | Flow] = [*registry.stocks, *registry.flows]
        for owner in owners:
            model: Any = owner.model if isinstance(owner, Stock) else owner.subject_model
            mine = taken.facets.setdefault(model._meta.concrete_model, Names())
            mine.take(*(facet.slug for facet in owner.applied_facets))
        return taken


@dataclass(frozen=True)
class DeclaredStock:
    """One stock with its names."""

    slug: str
    variable: str
    condition: Condition


@dataclass(frozen=True)
class Declared:
    """A dimension with its names; ``slug`` is that of ``tracker``, "" where it is the default."""

    dimension: Dimension
    stocks: tuple[DeclaredStock, ...]
    variable: str
    slug: str
    tracker: str
    process: str
    process_name: str


@dataclass
class File:
    """What goes into the two files of one app: ``config`` is None for an app that isn't there yet."""

    config: AppConfig | None
    why: str
    taken: Taken
    variables: Names = field(default_factory=lambda: Names([*PACKAGE, "register"]))
    classes: Names | None = None
    imports: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    events: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    uses_facets: bool = False

    @property
    def package(self) -> str:
        return self.config.name if self.config else places.PLACEHOLDER

    def path_of(self, module: str) -> str:
        """The file of the app's module, as seen from where the command was called if it is below there."""
        folder = Path(self.package.replace(".", "/"))
        if self.config is not None:
            path = Path(self.config.path).resolve()
            folder = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else folder
        is_package = self.config is not None and (Path(self.config.path) / module / "__init__.py").exists()
        return (folder / (f"{module}/__init__.py" if is_package else f"{module}.py")).as_posix()

    def add(self, look: Look) -> list[Declared]:
        """Write the declaration of one model; its trackers."""
        model = look.model
        events = self._events(model)
        name = self._import(places.module_of(model), model.__name__, model._meta.app_label)
        manager = f"{name}.{places.manager_of(model)}"
        base = self._base(model, look.dimensions)
        facets = self._facets(model, base, look.facets)
        trackers = [
            self._tracker(model, base, place, dimension, len(look.dimensions) == 1)
            for place, dimension in enumerate(look.dimensions)
        ]
        if look.facets:
            self.uses_facets = True
            rows = [_facet(facet, slug) for slug, facet in facets.items()]
            self.blocks.append(call(f"{base_variable(base)}_facets = [", rows))
        for tracker in trackers:
            self.blocks += self._declare(
                tracker, manager, events, f"{base_variable(base)}_facets" if facets else ""
            )
        return trackers

    def _events(self, model: type[models.Model]) -> str:
        known = places.event_model_of(model)
        if known is not None:
            return self._import(places.module_of(known), known.__name__, known._meta.app_label)
        if self.classes is None:
            self.classes = Names(places.names_in(self.config))
        name = self.classes.give(f"{model.__name__}FlowEvent", between="")
        self.events.append(
            f"class {name}(FlowEvent):\n"
            f'    """One move of one {_words(model)}."""\n\n'
            f"    subject = SubjectForeignKey({literal(model._meta.label)})"
        )
        return self._import(f"{self.package}.models", name, "")

    def _import(self, module: str, name: str, app_label: str) -> str:
        """The name by which the file knows a class; another one where its own is taken."""
        if name in self.imports[module]:
            return self.imports[module][name]
        if self.variables.free(name):
            self.variables.take(name)
            alias = name
        else:
            alias = self.variables.give(f"{''.join(map(sentence, app_label.split('_')))}{name}", between="")
        self.imports[module][name] = alias
        return alias

    def _base(self, model: type[models.Model], dimensions: Sequence[Dimension]) -> str:
        """What the model's slugs begin with: its name, with the app's and a number where that is taken."""
        name = slug_of(words_of(model.__name__)) or "object"
        wanted = name, f"{slug_of(model._meta.app_label)}-{name}"
        numbered = (f"{wanted[1]}-{number}" for number in range(2, 1000))
        for base in chain(wanted, numbered):
            if all(self._fits(model, base, place, one) for place, one in enumerate(dimensions)):
                return base
        raise AssertionError("a thousand models of one name")

    def _fits(self, model: type[models.Model], base: str, place: int, dimension: Dimension) -> bool:
        """Whether the slugs are free that the dimension's stocks, flows and process would have."""
        slugs = self._slugs(base, place, dimension)
        flows = [flow.slug for flow in _flows(model, slugs)]
        return (
            self.taken.stocks.free(*slugs)
            and self.taken.flows.free(*flows)
            and self.taken.processes.free(base)
            and self.variables.free(f"{base_variable(base)}_facets")
        )

    @staticmethod
    def _slugs(base: str, place: int, dimension: Dimension) -> list[str]:
        plain = place == 0 and dimension.kind == "choices"
        prefix, names = base if plain else f"{base}-{dimension.part}", Names()
        return [names.give(f"{prefix}-{condition.part}") for condition in dimension.conditions]

    def _facets(
        self, model: type[models.Model], base: str, facets: Iterable[SuggestedFacet]
    ) -> dict[str, SuggestedFacet]:
        names = self.taken.facets.setdefault(model, Names())
        self.variables.take(f"{base_variable(base)}_facets")
        return {names.give(facet.slug, f"{base}-{facet.slug}"): facet for facet in facets}

    def _tracker(
        self, model: type[models.Model], base: str, place: int, dimension: Dimension, alone: bool
    ) -> Declared:
        slugs = self._slugs(base, place, dimension)
        self.taken.stocks.take(*slugs)
        self.taken.flows.take(*(flow.slug for flow in _flows(model, slugs)))
        stocks = tuple(
            DeclaredStock(slug, self.variables.identifier(slug), condition)
            for slug, condition in zip(slugs, dimension.conditions, strict=True)
        )
        plain, label = place == 0, model._meta.label_lower
        default = plain and self.taken.trackers.free(label)
        tracker = self.taken.trackers.give(*([label] if default else []), f"{label}.{dimension.field_name}")
        plural = sentence(str(model._meta.verbose_name_plural))
        return Declared(
            dimension=dimension,
            stocks=stocks,
            variable=self.variables.identifier(f"{base}-{dimension.part}-stocks"),
            slug="" if default else tracker,
            tracker=tracker,
            process=self.taken.processes.give(base if plain else f"{base}-{dimension.part}"),
            process_name=plural if alone else f"{plural}: {dimension.name}",
        )

    def _declare(self, tracker: Declared, manager: str, events: str, facets: str) -> list[str]:
        given = [f"facets={facets}"] if facets else []
        stocks = [
            call(
                f"{stock.variable} = Stock(",
                [
                    literal(stock.slug),
                    literal(stock.condition.name),
                    call(
                        f"{manager}.filter(",
                        [f"{stock.condition.lookup}={literal(stock.condition.value)}"],
                        indent=4,
                    ),
                    *given,
                ],
            )
            for stock in tracker.stocks
        ]
        names = [stock.variable for stock in tracker.stocks]
        whole = call(f"{tracker.variable} = [", names)
        flows = call("flows=Flow.for_stocks(", [events, tracker.variable, *given], indent=8)
        arguments = [f"stocks={tracker.variable}", flows.lstrip()]
        if tracker.slug:
            arguments.append(f"slug={literal(tracker.slug)}")
        model_tracker = call("ModelTracker(", arguments, indent=4)
        process = call(
            "Process(",
            [literal(tracker.process), literal(tracker.process_name), f"stocks={tracker.variable}"],
            indent=4,
        )
        registered = f"register(\n{model_tracker},\n{process},\n)"
        return ["\n".join([*stocks, whole]), registered]

    def models_text(self) -> str:
        """The classes for models.py, "" where the project has them all."""
        if not self.events:
            return ""
        return (
            "from stockandflow import FlowEvent, SubjectForeignKey\n\n\n" + "\n\n\n".join(self.events) + "\n"
        )

    def declarations_text(self) -> str:
        """The text of stocksandflows.py."""
        names = [name for name in PACKAGE if name != "Facet" or self.uses_facets]
        imports = {module: dict(given) for module, given in self.imports.items()}
        imports["stockandflow"] = {name: name for name in names}
        lines = [_import_line(module, given) for module, given in sorted(imports.items())]
        return "\n".join(lines) + "\n\n" + "\n\n".join(self.blocks) + "\n"


def base_variable(base: str) -> str:
    """The beginning of the variables of a model."""
    return base.replace("-", "_") if base[:1].isalpha() else f"a_{base.replace('-', '_')}"


def _flows(model: type[models.Model], slugs: Sequence[str]) -> list[Flow]:
    """The flows that ``Flow.for_stocks`` will make, for their slugs."""
    events: Any = FlowEvent
    return Flow.for_stocks(events, [Stock(slug, slug, models.QuerySet(model)) for slug in slugs])


def _facet(facet: SuggestedFacet, slug: str) -> str:
    arguments = [literal(slug), literal(facet.name), literal(facet.lookup)]
    if facet.values is None:
        return call("Facet(", arguments, indent=4)
    if all(label == value for label, value in facet.values):
        values = call("[", [literal(value) for _, value in facet.values], indent=8)
    else:
        values = call("{", [f"{literal(label)}: {literal(value)}" for label, value in facet.values], indent=8)
    return call("Facet(", [*arguments, values.lstrip()], indent=4)


def _import_line(module: str, names: dict[str, str]) -> str:
    shown = [
        name if alias == name else f"{name} as {alias}"
        for name, alias in sorted(names.items(), key=lambda item: item[0])
    ]
    one = f"from {module} import {', '.join(shown)}"
    if len(one) <= 110:
        return one
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in shown) + ")"


def _words(model: type[models.Model]) -> str:
    """The model's name as a docstring can hold it."""
    return " ".join(str(model._meta.verbose_name).replace("\\", "").replace('"', "'").split())
