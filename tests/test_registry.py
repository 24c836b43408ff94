"""The registry: what it reaches, how it finds, and that a failed module leaves nothing behind."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_delete, pre_save
from django.test import override_settings

from stockandflow.declarations import Facet, Flow, ModelTracker, Process, Stock
from stockandflow.exceptions import AutodiscoveryError, DeclarationError, NotRegistered, UnknownSlug
from stockandflow.periodic import Schedule
from stockandflow.registry import Registry
from tests.testapp.models import Item, ItemFlowEvent, Owner, OwnerFlowEvent, SpecialItem


def stock(slug: str) -> Stock:
    return Stock(slug=slug, name=slug.title(), queryset=Item.objects.filter(text=slug))


def flow(slug: str, sources: list[Any], sinks: list[Any]) -> Flow:
    return Flow(slug, slug.title(), ItemFlowEvent, sources, sinks)


@pytest.fixture
def registry() -> Registry:
    return Registry()


class TestRegister:
    def test_a_flow_brings_its_stocks(self, registry: Registry) -> None:
        a, b = stock("a"), stock("b")
        moving = flow("moving", [None, a, "elsewhere"], [b])
        registry.register(moving)
        assert registry.flows == [moving]
        assert registry.stocks == [a, b]

    def test_a_tracker_brings_its_stocks_and_its_flows_with_theirs(self, registry: Registry) -> None:
        a, b = stock("a"), stock("b")
        moving = flow("moving", [a], [b])
        tracker = ModelTracker(stocks=[a], flows=[moving])
        registry.register(tracker)
        assert (registry.stocks, registry.flows, registry.trackers) == ([a, b], [moving], [tracker])

    def test_a_process_brings_its_stocks_and_the_flows_that_it_names(self, registry: Registry) -> None:
        a, b = stock("a"), stock("b")
        moving = flow("moving", [None], [b])
        process = Process("work", "Work", [a], [moving])
        registry.register(process)
        assert (registry.stocks, registry.flows, registry.processes) == ([a, b], [moving], [process])

    def test_neighbours_are_known_from_then_on(self, registry: Registry) -> None:
        a, b = stock("a"), stock("b")
        moving, leaving = flow("moving", [a], [b]), flow("leaving", [b, a], [None])
        process = Process("work", "Work", [a])
        for declaration, name in ((a, "outflows"), (process, "flows")):
            with pytest.raises(NotRegistered, match="register"):
                getattr(declaration, name)
        registry.register(process, moving, leaving)
        assert (a.inflows, a.outflows, b.inflows) == ([], [moving, leaving], [moving])
        assert process.flows == [moving, leaving]

    def test_registering_again_changes_nothing(self, registry: Registry) -> None:
        a = stock("a")
        moving = flow("moving", [None], [a])
        declarations = (ModelTracker(stocks=[a], flows=[moving]), Process("work", "Work", [a]), moving, a)
        heard: list[ModelTracker] = []
        registry.on_tracker(heard.append)
        registry.register(*declarations)
        before = [list(known) for known in everything(registry)]
        registry.register(*reversed(declarations), *declarations)
        assert everything(registry) == before
        assert [len(known) for known in before] == [1, 1, 1, 1]
        assert len(heard) == 1

    def test_equal_slugs_are_both_kept_and_the_first_is_found(self, registry: Registry) -> None:
        first, second = stock("a"), stock("a")
        registry.register(first, second)
        assert registry.stocks == [first, second]
        assert registry.stock("a") is first

    @pytest.mark.parametrize(
        "wrong", [[stock("a")], (), None, "a", Item, Facet("plan", "Plan", "text")], ids=repr
    )
    def test_anything_else_is_refused(self, registry: Registry, wrong: Any) -> None:
        with pytest.raises(DeclarationError, match=r"register\(\*stocks\)") as raised:
            registry.register(wrong)
        assert repr(wrong) in str(raised.value)
        assert everything(registry) == [[], [], [], []]

    def test_nothing_is_taken_where_one_is_refused(self, registry: Registry) -> None:
        wrong: Any = [stock("b")]
        with pytest.raises(DeclarationError):
            registry.register(stock("a"), wrong)
        assert everything(registry) == [[], [], [], []]


def everything(registry: Registry) -> list[list[Any]]:
    return [registry.stocks, registry.flows, registry.trackers, registry.processes]


class TestLookUp:
    def test_each_kind_is_found_by_slug(self, registry: Registry) -> None:
        a = stock("a")
        moving = flow("moving", [None], [a])
        tracker, process = ModelTracker(stocks=[a], flows=[moving]), Process("work", "Work", [a])
        registry.register(tracker, process)
        assert registry.stock("a") is a
        assert registry.flow("moving") is moving
        assert registry.tracker("testapp.item") is tracker
        assert registry.process("work") is process

    @pytest.mark.parametrize("kind", ["stock", "flow", "tracker", "process"])
    def test_an_unknown_slug_is_told_with_the_nearest(self, registry: Registry, kind: str) -> None:
        past_due, other = stock("past-due"), stock("churned")
        moving = flow("past-due", [None], [past_due])
        registry.register(
            ModelTracker(stocks=[past_due], flows=[moving], slug="past-due"),
            Process("past-due", "Past due", [past_due, other]),
        )
        look_up: Callable[[str], Any] = getattr(registry, kind)
        with pytest.raises(UnknownSlug, match=f"No {kind} .*'past_due'.*Did you mean 'past-due'") as raised:
            look_up("past_due")
        assert (raised.value.kind, raised.value.slug) == (kind, "past_due")
        with pytest.raises(LookupError, match=f"No {kind} has the slug 'zzz'. Registered: "):
            look_up("zzz")

    @pytest.mark.parametrize("slug", [None, 3, stock("a")])
    def test_a_slug_that_is_no_text_is_told(self, registry: Registry, slug: Any) -> None:
        registry.register(stock("a"))
        with pytest.raises(UnknownSlug, match=r"No stock has the slug .*Registered: 'a'"):
            registry.stock(slug)

    def test_an_empty_registry_says_so(self, registry: Registry) -> None:
        with pytest.raises(UnknownSlug, match="No stock is registered"):
            registry.stock("a")

    def test_trackers_are_found_by_stock_and_by_model(self, registry: Registry) -> None:
        a, lone = stock("a"), stock("lone")
        owners = Stock("owners", "Owners", Owner.objects.all())
        items = ModelTracker(stocks=[a], event_model=ItemFlowEvent)
        of_owners = ModelTracker(stocks=[owners], event_model=OwnerFlowEvent)
        registry.register(items, of_owners, lone)
        assert registry.tracker_of(a) is items
        assert registry.tracker_of(owners) is of_owners
        assert registry.tracker_of(lone) is None
        assert registry.trackers_of(Item) == registry.trackers_of(SpecialItem) == [items]
        assert registry.trackers_of(ItemFlowEvent) == []
        assert registry.event_models() == [ItemFlowEvent, OwnerFlowEvent]

    def test_inflows_and_outflows_come_in_registered_order(self, registry: Registry) -> None:
        a, b = stock("a"), stock("b")
        flows = [flow("three", [b], [a]), flow("one", [a], [None]), flow("two", [None, a], [b, a])]
        registry.register(*flows)
        three, one, two = flows
        assert registry.inflows(a) == [three, two]
        assert registry.outflows(a) == [one, two]
        assert registry.inflows(stock("a")) == []


class TestListeners:
    def test_a_listener_hears_of_trackers_before_and_after_it(self, registry: Registry) -> None:
        first = ModelTracker(stocks=[stock("a")], event_model=ItemFlowEvent)
        second = ModelTracker(stocks=[stock("b")], event_model=ItemFlowEvent, slug="second")
        heard: list[ModelTracker] = []
        registry.register(first)
        registry.on_tracker(heard.append)
        assert heard == [first]
        registry.register(second)
        assert heard == [first, second]

    def test_a_listener_hears_only_of_what_stays(self, registry: Registry) -> None:
        heard: list[ModelTracker] = []
        registry.on_tracker(heard.append)
        kept, lost = (
            ModelTracker(stocks=[stock(slug)], event_model=ItemFlowEvent) for slug in ("kept", "lost")
        )
        wrong: Any = "no declaration"
        with pytest.raises(DeclarationError), registry.transaction():  # noqa: PT012 - two steps, as in a module
            registry.register(lost)
            registry.register(wrong)
        assert heard == []
        with registry.transaction():
            registry.register(kept)
            assert heard == []
        assert heard == [kept]


class TestTransaction:
    def test_a_block_that_raises_is_taken_back(self, registry: Registry) -> None:
        kept = stock("kept")
        registry.register(kept)
        a = stock("a")
        tracker = ModelTracker(stocks=[a], flows=[flow("moving", [None], [a])])
        declarations: list[Any] = [tracker, Process("work", "Work", [a]), "no declaration"]
        with pytest.raises(DeclarationError, match="no declaration"), registry.transaction():
            registry.register(*declarations)
        assert everything(registry) == [[kept], [], [], []]

    def test_a_block_that_ends_well_stays(self, registry: Registry) -> None:
        a = stock("a")
        with registry.transaction():
            registry.register(a)
        assert registry.stocks == [a]


# Autodiscovery

DECLARES = """
from stockandflow.declarations import Stock
from tests.test_registry import discovering
from tests.testapp.models import Item

registry, schedule = discovering[-1]
registry.register(Stock(slug="found", name="Found", queryset=Item.objects.all()))
schedule.register("daily", print, name="found")
"""
discovering: list[tuple[Registry, Schedule]] = []
"""What the modules that a test writes register in."""


@pytest.fixture
def schedule(registry: Registry) -> Iterator[Schedule]:
    made = Schedule()
    discovering.append((registry, made))
    yield made
    discovering.pop()


@pytest.fixture
def discover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, schedule: Schedule
) -> Iterator[Callable[[str | None], None]]:
    """Autodiscover in an app whose ``stocksandflows`` is the given source, None for no such module."""
    app = tmp_path / "discovered"
    app.mkdir()
    (app / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def run(source: str | None) -> None:
        if source is not None:
            (app / "stocksandflows.py").write_text(source)
        importlib.invalidate_caches()
        with override_settings(INSTALLED_APPS=["tests.testapp", "discovered"]):
            registry.autodiscover(schedule.transaction)

    yield run
    for name in [name for name in sys.modules if name.split(".")[0] == "discovered"]:
        del sys.modules[name]


class TestAutodiscover:
    def test_what_an_app_declares_is_registered(
        self, discover: Callable[[str | None], None], registry: Registry, schedule: Schedule
    ) -> None:
        discover(DECLARES)
        assert [one.slug for one in registry.stocks] == ["found"]
        assert [entry.name for entry in schedule.entries] == ["found"]

    def test_an_app_without_the_module_is_passed_over(
        self, discover: Callable[[str | None], None], registry: Registry
    ) -> None:
        discover(None)
        assert everything(registry) == [[], [], [], []]

    @pytest.mark.parametrize(
        ("last_line", "told"),
        [
            ("1 / 0", "ZeroDivisionError"),
            ("import discovered.absent", "ModuleNotFoundError.*discovered.absent"),
            ("registry.register([])", r"DeclarationError.*register\(\) got \[\]"),
            ("def (", "SyntaxError"),
        ],
    )
    def test_a_module_that_raises_is_named_and_leaves_nothing(
        self,
        discover: Callable[[str | None], None],
        registry: Registry,
        schedule: Schedule,
        last_line: str,
        told: str,
    ) -> None:
        with pytest.raises(AutodiscoveryError, match=rf"discovered\.stocksandflows .*{told}") as raised:
            discover(DECLARES + last_line)
        assert raised.value.__cause__ is not None
        assert everything(registry) == [[], [], [], []]
        assert schedule.entries == []

    def test_once_mended_it_is_found(
        self, discover: Callable[[str | None], None], registry: Registry, schedule: Schedule
    ) -> None:
        with pytest.raises(AutodiscoveryError):
            discover(DECLARES + "raise RuntimeError('not yet, and this line makes the file longer')")
        discover(DECLARES)
        assert [one.slug for one in registry.stocks] == ["found"]
        assert [entry.name for entry in schedule.entries] == ["found"]

    def test_another_apps_declarations_that_it_imported_are_found_once_it_is_mended(
        self, discover: Callable[[str | None], None], registry: Registry, tmp_path: Path
    ) -> None:
        (tmp_path / "imported").mkdir()
        (tmp_path / "imported" / "__init__.py").touch()
        (tmp_path / "imported" / "stocksandflows.py").write_text(DECLARES)
        with pytest.raises(AutodiscoveryError):
            discover(
                "import imported.stocksandflows\nraise RuntimeError('not yet, and this makes the file longer')"
            )
        assert everything(registry) == [[], [], [], []]
        discover("import imported.stocksandflows")
        assert [one.slug for one in registry.stocks] == ["found"]
        for name in ("imported", "imported.stocksandflows"):
            del sys.modules[name]


# Nothing happens at import


def receivers() -> list[int]:
    signals: tuple[ModelSignal, ...] = (pre_save, post_save, pre_delete, post_delete)
    return [len(signal.receivers) for signal in signals]


# This test may touch no database: pytest-django fails a query that is made here.
def test_building_and_registering_declarations_makes_no_query_and_connects_no_signal(
    registry: Registry,
) -> None:
    before = receivers()
    owner = Facet("owner", "Owner", "owner__name", Owner.objects.values_list("name", flat=True))
    stocks = Stock.for_choices(Item, "size", facets=[owner])
    flows = Flow.for_stocks(ItemFlowEvent, stocks, facets=[owner])
    by_hand = ModelTracker(["number"], lambda before, now: ((None,), (None,)), stocks, flows, "by-hand")
    assert registry.stocks == []
    registry.register(ModelTracker(stocks=stocks, flows=flows), by_hand, Process("work", "Work", stocks))
    assert registry.stocks == stocks
    assert receivers() == before


STARTS = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from django.db.backends.base.base import BaseDatabaseWrapper

def refuse(self):
    raise AssertionError("the start of the project opened a connection")

BaseDatabaseWrapper.connect = refuse
import stockandflow
import django
django.setup()
from stockandflow.registry import registry
print(*sorted(process.slug for process in registry.processes))
"""


def test_a_project_starts_without_opening_a_connection() -> None:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", STARTS], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["leads", "membership", "support"]
