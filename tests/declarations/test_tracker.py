"""Trackers: the rules of both their forms, and what they say of one that breaks a rule."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.exceptions import DeclarationError
from tests.testapp.models import (
    DemandingEvent,
    Item,
    ItemFlowEvent,
    Owner,
    OwnerFlowEvent,
    SpecialItem,
    SubjectlessEvent,
)


def states(before: Any, now: Any) -> Any:
    return (before and before[0],), (now[0],)


text = Facet("text", "Text", "text")
size = Facet("size", "Size", "size")
name = Facet("text", "Owner's name", "name")
small = Stock("small", "Small", Item.objects.filter(size=1), [text])
large = Stock("large", "Large", Item.objects.filter(size=2), [size])
owners = Stock("owners", "Owners", Owner.objects.all())
growing = Flow("growing", "Growing", ItemFlowEvent, [small], [large], facets=[(name, "owner")])
leaving = Flow("leaving", "Leaving", ItemFlowEvent, [small, large], [None])
renaming = Flow("renaming", "Renaming", OwnerFlowEvent, [None], [owners])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stocks": small}, r"has <Stock small> as stocks; write a list\.$"),
        ({"flows": growing}, r"has <Flow growing> as flows; write a list\.$"),
        ({"stocks": None}, r"has None as stocks; write a list\.$"),
        ({"fields_to_track": "size"}, r"has 'size' as fields_to_track; write a list\.$"),
        ({"stocks": ["small"]}, r"has 'small' among its stocks; write Stock objects\.$"),
        ({"stocks": [small, growing]}, r"has <Flow growing> among its stocks; write Stock objects\.$"),
        ({"flows": [growing, small]}, r"has <Stock small> among its flows; write Flow objects\.$"),
        (
            {"fields_to_track": ["size"]},
            r"has fields_to_track=\('size',\) and states_to_stocks_func=None; give both, or neither to derive",
        ),
        (
            {"states_to_stocks_func": states},
            r"has fields_to_track=\(\) and states_to_stocks_func=<function states .*>; give both, or neither",
        ),
        (
            {"fields_to_track": ["size"], "states_to_stocks_func": "states"},
            r"has states_to_stocks_func='states'; write a function of \(previous values, current values\)\.$",
        ),
        (
            {"stocks": [], "flows": []},
            r"has neither stocks nor flows, so it has no model to watch\.$",
        ),
        (
            {"stocks": []},
            r"without stocks can't derive moves; give it stocks, or fields_to_track and states_to_stocks_func\.$",
        ),
        (
            {"stocks": [small, owners]},
            r"watches testapp\.Item and testapp\.Owner; declare one for each model\.$",
        ),
        (
            {"flows": [growing, renaming]},
            r"watches testapp\.Item and testapp\.Owner; declare one for each model\.$",
        ),
        (
            {"flows": [], "event_model": OwnerFlowEvent},
            r"watches testapp\.Item and testapp\.Owner; declare one for each model\.$",
        ),
        (
            {"flows": [], "event_model": "testapp.ItemFlowEvent"},
            r"has event_model='testapp\.ItemFlowEvent'; write the class itself, a subclass of FlowEvent\.$",
        ),
        (
            {"event_model": 3},
            r"has event_model=3; write the class itself, a subclass of FlowEvent\.$",
        ),
        (
            {"event_model": DemandingEvent},
            r"different event models, testapp\.DemandingEvent and testapp\.ItemFlowEvent; give its flows one",
        ),
        (
            {"flows": []},
            r"The ModelTracker of testapp\.Item knows no event model; give it flows, or event_model=….$",
        ),
        (
            {"flows": [Flow("none", "None", SubjectlessEvent, [None], [small])]},
            r"SubjectlessEvent has no 'subject' that points at .*; add 'subject = SubjectForeignKey\(TheModelThat",
        ),
        ({"stocks": [small, large, small]}, r"lists <Stock small> twice; keep one of them\.$"),
        ({"flows": [growing, growing]}, r"lists <Flow growing> twice; keep one of them\.$"),
        (
            {"stocks": [small, Stock("far", "Far", Item.objects.using("replica"))]},
            r"has stocks of the databases 'default', 'replica'; declare one for each, with slugs of their own\.$",
        ),
        ({"slug": "by size"}, r"The tracker slug 'by size' can't be used: a slug is 1 to 100 letters"),
        ({"slug": 3}, r"The tracker slug 3 can't be used: a slug is 1 to 100 letters"),
        ({"slug": "a" * 101}, r"The tracker slug 'a{101}' can't be used"),
    ],
)
def test_a_wrong_tracker_is_refused_where_it_is_built(given: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"stocks": [small, large], "flows": [growing, leaving]}
    with pytest.raises(DeclarationError, match=message):
        ModelTracker(**{**right, **given})


@pytest.mark.django_db
def test_building_one_makes_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        ModelTracker(stocks=[small, large], flows=[growing, leaving])
        ModelTracker(["size"], states, [small], [growing])


def test_without_a_function_moves_are_derived_from_the_stocks() -> None:
    tracker = ModelTracker(stocks=[small, large], flows=[growing])
    assert tracker.derived
    assert (tracker.stocks, tracker.flows, tracker.fields_to_track) == ((small, large), (growing,), ())
    assert tracker.states_to_stocks_func is None


def test_by_function_the_older_order_of_arguments_holds_and_no_stocks_are_needed() -> None:
    tracker = ModelTracker(["size", "text"], states, [small], [growing])
    assert not tracker.derived
    assert (tracker.fields_to_track, tracker.stocks, tracker.flows) == (
        ("size", "text"),
        (small,),
        (growing,),
    )
    assert tracker.states_to_stocks_func is states
    lone = ModelTracker(["size"], states, flows=[growing])
    assert (lone.stocks, lone.model, lone.events) == ((), Item, ItemFlowEvent)


def test_the_event_model_is_the_flows_or_given() -> None:
    assert ModelTracker(stocks=[small], flows=[growing]).events is ItemFlowEvent
    assert ModelTracker(stocks=[small], event_model=ItemFlowEvent).events is ItemFlowEvent
    assert ModelTracker(stocks=[small], flows=[growing], event_model=ItemFlowEvent).events is ItemFlowEvent


def test_an_event_model_without_a_subject_waits_for_the_system_check() -> None:
    assert ModelTracker(stocks=[small], event_model=SubjectlessEvent).events is SubjectlessEvent


def test_a_proxy_is_the_same_model() -> None:
    special = Stock("special", "Special", SpecialItem.objects.filter(size=3))
    tracker = ModelTracker(stocks=[special, small], flows=[growing])
    assert tracker.model is SpecialItem


def test_the_slug_is_the_models_label_unless_given() -> None:
    assert ModelTracker(stocks=[small], flows=[growing]).slug == "testapp.item"
    assert ModelTracker(["size"], states, flows=[renaming]).slug == "testapp.owner"
    given = ModelTracker(stocks=[small], flows=[growing], slug="shop.by-size")
    assert (given.slug, repr(given)) == ("shop.by-size", "<ModelTracker shop.by-size>")


def test_a_move_belongs_to_the_first_flow_that_covers_it() -> None:
    either = Flow("either", "Either", ItemFlowEvent, [small, "gone"], [large, None])
    tracker = ModelTracker(stocks=[small, large], flows=[growing, either, leaving])
    assert tracker.flow_for(small, large) is growing
    assert tracker.flow_for("small", "large") is growing
    assert tracker.flow_for(small, None) is either
    assert tracker.flow_for("gone", large) is either
    assert tracker.flow_for(large, None) is leaving
    assert tracker.flow_for(large, "") is leaving
    assert tracker.flow_for(large, small) is None
    assert tracker.flow_for(None, small) is None


def test_events_keep_the_facets_of_its_stocks_and_flows() -> None:
    tracker = ModelTracker(stocks=[small, large], flows=[leaving])
    assert {slug: facet.lookup for slug, facet in tracker.applied_facets.items()} == {
        "text": "text",
        "size": "size",
    }
    lone = ModelTracker(["size"], states, flows=[growing])
    assert {slug: facet.lookup for slug, facet in lone.applied_facets.items()} == {"text": "owner__name"}


def test_it_is_frozen_and_what_was_given_may_change_afterwards() -> None:
    stocks, fields = [small], ["size"]
    tracker: Any = ModelTracker(fields, states, stocks, [growing])
    stocks.append(large)
    fields.append("text")
    assert (tracker.stocks, tracker.fields_to_track) == ((small,), ("size",))
    with pytest.raises(FrozenInstanceError):
        tracker.stocks = (large,)
