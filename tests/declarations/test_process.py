"""Processes: what they may be given, and which flows are theirs."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import gettext_lazy
from pytest_django import DjangoAssertNumQueries

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.exceptions import DeclarationError, NotRegistered
from stockandflow.periods import Calendar
from stockandflow.registry import Registry
from tests.testapp.models import Item, ItemFlowEvent

small = Stock("small", "Small", Item.objects.filter(size=1))
large = Stock("large", "Large", Item.objects.filter(size=2))
growing = Flow("growing", "Growing", ItemFlowEvent, [small], [large])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slug": "by size"}, r"The process slug 'by size' can't be used: a slug is 1 to 100 letters"),
        ({"slug": None}, r"The process slug None can't be used"),
        ({"stocks": small}, r"'sizes' has the stocks <Stock small>; write a list of .*Stock objects"),
        ({"stocks": None}, r"'sizes' has the stocks None; write a list of .*Stock objects"),
        ({"stocks": "small"}, r"'sizes' has the stocks 'small'; write a list of .*Stock objects"),
        ({"stocks": [small, "large"]}, r"has the stocks \[<Stock small>, 'large'\]; write a list of"),
        ({"layout": [("small", 0, 0)]}, r"layout \[.*\]; write a dict of slug → \(column, row\)"),
        (
            {"layout": {"huge": (0, 0)}},
            r"layout of 'huge', which is none of its stocks; they are 'small', 'large'",
        ),
        ({"layout": {"small": (0, -1)}}, r"layout \(0, -1\) for 'small'; write \(column, row\)"),
        (
            {"min_cell": 1},
            r"min_cell 1; write a whole number from 2, such as 5, or None for that of the settings",
        ),
        ({"min_cell": "5"}, r"min_cell '5'; write a whole number from 2"),
        ({"layout": {"small": 1}}, r"layout 1 for 'small'; write \(column, row\)"),
        ({"layout": {"small": (0, 0), "large": (0, 0)}}, r"\(0, 0\) for 'small' and for 'large'; give one"),
        ({"stocks": []}, r"The process 'sizes' has .*stocks.* one or more"),
        ({"stocks": [small, large, small]}, r"The process 'sizes' lists .* twice; keep one of them\.$"),
        ({"flows": growing}, r"'sizes' has the flows <Flow growing>; write a list of Flow objects"),
        ({"flows": "growing"}, r"'sizes' has the flows 'growing'; write a list of Flow objects"),
        ({"flows": 3}, r"'sizes' has the flows 3; write a list of Flow objects"),
        ({"flows": [small]}, r"'sizes' has the flows \[<Stock small>\]; write a list of Flow objects"),
        ({"flows": [growing, growing]}, r"The process 'sizes' lists .* twice; keep one of them\.$"),
        (
            {"permission": "view_item"},
            r"has the permission 'view_item'; write 'app_label\.codename', e\.g\. 'shop\.view_subscription'\.$",
        ),
        ({"permission": "a.b.c"}, r"has the permission 'a\.b\.c'; write 'app_label\.codename'"),
        ({"permission": "shop."}, r"has the permission 'shop\.'; write 'app_label\.codename'"),
        ({"calendar": "UTC"}, r"has the calendar 'UTC'; write e\.g\. Calendar\('Europe/London'\)"),
        ({"permission": 3}, r"has the permission 3; write 'app_label\.codename'"),
    ],
)
def test_a_wrong_process_is_refused_where_it_is_built(given: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"slug": "sizes", "name": "Sizes", "stocks": [small, large]}
    with pytest.raises(DeclarationError, match=message):
        Process(**{**right, **given})


@pytest.mark.django_db
def test_building_one_makes_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        Process("sizes", "Sizes", [small, large], [growing], "How they grow.", "testapp.view_item")


def test_it_keeps_what_it_was_given() -> None:
    stocks, flows = [small, large], [growing]
    process = Process("sizes", "Sizes", stocks, flows, "How they grow.", "testapp.view_item")
    stocks.clear()
    flows.clear()
    assert (process.stocks, process.flows) == ((small, large), [growing])
    assert (process.description, process.permission) == ("How they grow.", "testapp.view_item")
    assert (str(process), repr(process)) == ("Sizes", "<Process sizes>")


def test_a_generator_is_read_once() -> None:
    process = Process("sizes", "Sizes", (one for one in [small, large]), (one for one in [growing]))  # type: ignore[arg-type]
    assert (process.stocks, process.flows) == ((small, large), [growing])


def test_without_more_it_has_no_description_and_no_permission_of_its_own() -> None:
    process = Process("sizes", "Sizes", [small])
    assert (process.description, process.permission, process.declared_flows) == ("", None, None)


def test_its_name_may_be_translated_later() -> None:
    lazy: Any = gettext_lazy("Sizes")
    assert str(Process("sizes", lazy, [small])) == "Sizes"


class TestFlows:
    def test_they_are_those_given_in_order_even_none_and_unregistered(self) -> None:
        other = Flow("other", "Other", ItemFlowEvent, [None], ["elsewhere"])
        assert Process("sizes", "Sizes", [small], [other, growing]).flows == [other, growing]
        assert Process("sizes", "Sizes", [small], []).flows == []

    def test_by_default_they_are_the_registered_ones_that_touch_a_stock(self) -> None:
        registry = Registry()
        one, two, far = (
            Stock(slug, slug.title(), Item.objects.filter(text=slug)) for slug in ("one", "two", "far")
        )
        into = Flow("into", "Into", ItemFlowEvent, [None], [one])
        across = Flow("across", "Across", ItemFlowEvent, [far], [two])
        away = Flow("away", "Away", ItemFlowEvent, [far], [None])
        text = Flow("text", "Text", ItemFlowEvent, ["one"], [None])
        process = Process("numbers", "Numbers", [one, two])
        registry.register(across, away, process, text)
        assert process.flows == [across]
        registry.register(into)
        assert process.flows == [across, into]

    def test_by_default_they_are_unknown_before_it_is_registered(self) -> None:
        process = Process("sizes", "Sizes", [small, large])
        with pytest.raises(
            NotRegistered,
            match=r"The process 'sizes' isn't registered, so its flows aren't known; pass it to register\(\) first\.$",
        ):
            process.flows  # noqa: B018


def test_its_calendar_is_its_own_or_the_projects(settings: Any) -> None:
    settings.STOCKANDFLOW = {"TIME_ZONE": "Asia/Tokyo"}
    tokyo, lisbon = Calendar("Asia/Tokyo"), Calendar("Europe/Lisbon", year_start_month=4)
    assert Process("sizes", "Sizes", [small]).calendar == tokyo
    assert Process("sizes", "Sizes", [small], calendar=lisbon).calendar == lisbon
