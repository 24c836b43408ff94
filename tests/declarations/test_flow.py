"""Flows: which moves they cover, what they record, and what they refuse."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy
from pytest_django import DjangoAssertNumQueries

from stockandflow.declarations import ANY, Facet, Flow, Stock, state_key
from stockandflow.exceptions import DeclarationError, InvalidInput, UnknownSlug
from stockandflow.models import Delivery, Origin
from tests.testapp.models import (
    BigItem,
    Item,
    ItemFlowEvent,
    Owner,
    OwnerFlowEvent,
    SpecialItem,
    SubjectlessEvent,
)

small, large, huge = (
    Stock(slug, slug.title(), Item.objects.filter(size=size))
    for size, slug in enumerate(("small", "large", "huge"))
)


class Grade:
    """Any object may stand in for a state without a stock."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grade) and other.name == self.name

    def __str__(self) -> str:
        return f"grade {self.name}"


def flow(**given: Any) -> Flow:
    right: dict[str, Any] = {
        "slug": "growing",
        "name": "Growing",
        "flow_event_model": ItemFlowEvent,
        "sources": [None, small],
        "sinks": [large],
    }
    return Flow(**{**right, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slug": "gr owing"}, r"The flow slug 'gr owing' can't be used: a slug is"),
        (
            {"sources": None},
            r"'growing' has the sources None; write a list, e\.g\. \[trial\] or \[None\] for external",
        ),
        ({"sources": small}, r"'growing' has the sources <Stock small>; write a list"),
        ({"sinks": "large"}, r"'growing' has the sinks 'large'; write a list"),
        ({"sinks": {large}}, r"'growing' has the sinks \{<Stock large>\}; write a list"),
        ({"sources": []}, r"'growing' has no sources; write \[None\] where objects come from or go outside"),
        ({"sinks": ()}, r"'growing' has no sinks; write \[None\]"),
        ({"sources": [""]}, r"has the state '', kept as the text ''; a state needs 1 to 100 characters"),
        ({"sources": [ANY]}, r"has the state '\*', kept as the text '\*'; .* can't be '\*'"),
        ({"sinks": ["x" * 101]}, r"a state needs 1 to 100 characters"),
        (
            {"sinks": [Stock("owners", "", Owner.objects.all())]},
            r"'growing' connects 'small', a stock of testapp.Item, with 'owners', a stock of testapp.Owner; .*",
        ),
        (
            {"event_callables": print},
            r"has the event_callables <built-in function print>; write a list of functions",
        ),
        (
            {"event_callables": ["print"]},
            r"has the event_callables \['print'\]; write a list of functions of",
        ),
        ({"facets": ["plan"]}, r"The flow 'growing' has 'plan' among its facets; write a Facet"),
        (
            {"flow_event_model": "testapp.ItemFlowEvent"},
            r"'testapp.ItemFlowEvent'; write the class itself, a subclass",
        ),
        ({"flow_event_model": None}, r"has the flow_event_model None; write the class itself"),
    ],
)
def test_a_wrong_flow_is_refused_where_it_is_built(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        flow(**given)


def test_an_event_model_without_a_subject_is_told_when_it_matters() -> None:
    with pytest.raises(
        DeclarationError, match=r"testapp.SubjectlessEvent has no 'subject' .*; add 'subject = Sub"
    ):
        flow(flow_event_model=SubjectlessEvent).subject_model  # noqa: B018


def test_a_flow_is_changed_only_by_replacement() -> None:
    growing: Any = flow(facets=[Facet("text", "", "text")])
    with pytest.raises(FrozenInstanceError):
        growing.name = "Shrinking"
    other = replace(growing, slug="shrinking", sources=[large], sinks=[small])
    assert (other.slug, other.name, other.facets) == ("shrinking", "Growing", growing.facets)
    assert other.covers(large, small)
    assert not other.covers(small, large)


def test_a_flow_is_itself_alone_and_reads_well() -> None:
    one, other = flow(), flow()
    assert one != other
    assert len({one, other, one}) == 2
    assert (str(one), repr(one)) == ("Growing", "<Flow growing>")


def test_its_name_may_be_translated_later() -> None:
    lazy: Any = gettext_lazy("Growing")
    assert str(flow(name=lazy)) == "Growing"


@pytest.mark.django_db
def test_building_flows_with_their_stocks_and_facets_makes_no_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        owner = Facet("owner", "Owner", "owner__name", Owner.objects.values_list("name", flat=True))
        stocks = Stock.for_choices(Item, "size", facets=[owner])
        lone = Stock("parts", "With parts", Item.objects.filter(parts__weight=1), facets=[owner])
        Flow.for_stocks(ItemFlowEvent, stocks, facets=[owner])
        Flow("moving", "Moving", ItemFlowEvent, [lone, None], stocks, facets=[owner])


def test_it_knows_its_stocks_and_its_subject() -> None:
    growing = flow(sources=[None, small, "somewhere", large], sinks=[large, huge, small])
    assert growing.stocks == [small, large, huge]
    assert growing.subject_model is Item


def test_stocks_of_one_table_may_be_joined_whatever_their_class() -> None:
    special = Stock("special", "", SpecialItem.objects.all())
    assert flow(sinks=[special]).stocks == [small, special]
    with pytest.raises(DeclarationError, match=r"a stock of testapp\.BigItem"):
        flow(sinks=[Stock("big", "", BigItem.objects.all())])


@pytest.mark.parametrize(
    ("state", "key"),
    [
        (None, ""),
        (small, "small"),
        ("urgent", "urgent"),
        (7, "7"),
        (0, "0"),
        (False, "False"),
        (Grade("a"), "grade a"),
    ],
)
def test_a_state_is_kept_as_text(state: Any, key: str) -> None:
    assert state_key(state) == key
    if state is not None:
        covering = flow(sources=[None], sinks=[large, state])
        assert covering.covers(None, state)
        assert covering.state(key) is state


def test_it_covers_each_source_with_each_sink_but_no_standing_still() -> None:
    growing = flow(sources=[None, small, large], sinks=[large, huge])
    covered = {
        (source, sink)
        for source in (None, small, large, huge, "elsewhere")
        for sink in (None, small, large, huge, "elsewhere")
        if growing.covers(source, sink)
    }
    assert covered == {(None, large), (None, huge), (small, large), (small, huge), (large, huge)}
    assert growing.covers("", "large")
    assert growing.covers("small", huge)
    assert not growing.covers("large", "large")


def test_a_state_that_events_keep_is_found_again() -> None:
    growing = flow(sources=[None, small], sinks=[large, "elsewhere"])
    assert [growing.state(key) for key in ("", "small", "large", "elsewhere")] == [
        None,
        small,
        large,
        "elsewhere",
    ]
    assert growing.state("gone") == "gone"


def test_two_states_of_one_flow_may_not_be_kept_as_the_same_text() -> None:
    with pytest.raises(
        DeclarationError, match=r"'growing' has the states 7 and '7', both kept as the text '7'"
    ):
        flow(sources=[7], sinks=["7"])
    with pytest.raises(
        DeclarationError, match=r"the states 'large' and <Stock large>, both kept as the text 'large'"
    ):
        flow(sources=["large"])
    other = Stock("large", "", Item.objects.filter(size=5))
    with pytest.raises(DeclarationError, match=r"the states <Stock large> and <Stock large>, both kept"):
        flow(sources=[other])
    assert flow(sources=[Grade("a"), Grade("a"), small], sinks=[small]).covers(Grade("a"), small)


@pytest.mark.django_db
class TestEvents:
    """Events recorded by hand, and found again."""

    def test_a_move_that_the_flow_covers_is_an_event(self) -> None:
        item = Item.objects.create()
        event: Any = flow().add_event(item, small, large)
        event.refresh_from_db()
        assert (event.flow, event.source, event.sink, event.subject) == ("growing", "small", "large", item)
        assert (event.tracker, event.origin) == ("", Origin.LIVE)
        assert abs(event.timestamp - datetime.now(UTC)).total_seconds() < 5
        assert event.timestamp == event.recorded_at

    @pytest.mark.parametrize(
        ("source", "sink"), [(small, huge), (large, small), (None, None), (small, None), ("x", large)]
    )
    def test_a_move_that_it_does_not_cover_is_none(self, source: Any, sink: Any) -> None:
        item = Item.objects.create()
        assert flow().add_event(item, source, sink) is None
        assert not ItemFlowEvent.objects.exists()

    def test_external_and_stand_ins_are_kept(self) -> None:
        item = Item.objects.create()
        grading = flow(sources=[None, Grade("a")], sinks=[Grade("b"), None])
        grading.add_event(item, None, Grade("b"))
        grading.add_event(item, Grade("a"), None)
        found = ItemFlowEvent.objects.order_by("id").values_list("source", "sink")
        assert list(found) == [("", "grade b"), ("grade a", "")]
        assert grading.count(source=Grade("a")) == grading.count(sink=Grade("b")) == 1

    def test_when_it_happened_may_be_given(self) -> None:
        at = datetime(2024, 1, 1, tzinfo=UTC)
        event: Any = flow().add_event(Item.objects.create(), None, large, timestamp=at)
        assert event.timestamp == at
        assert event.recorded_at > at
        with pytest.raises(InvalidInput, match=r"timestamp is the naive datetime .*make_aware"):
            flow().add_event(Item.objects.create(), None, large, timestamp=datetime(2024, 1, 1))  # noqa: DTZ001

    def test_facet_values_are_kept_as_they_were(self) -> None:
        owner = Owner.objects.create(name="Ann")
        item = Item.objects.create(text="gold", owner=owner)
        facets = [
            Facet("text", "", "text"),
            (Facet("owner", "", "name"), "owner"),
            Facet("number", "", "number"),
        ]
        event: Any = flow(facets=facets).add_event(item, None, large)
        Item.objects.update(text="tin")
        Owner.objects.update(name="Bob")
        event.refresh_from_db()
        assert event.facets == {"text": "gold", "owner": "Ann", "number": None}

    @pytest.mark.parametrize("subject", [Owner(pk=1), Item(), None, "item"])
    def test_a_subject_that_can_not_flow_here_is_told(self, subject: Any) -> None:
        with pytest.raises(
            InvalidInput, match=r"can't flow here: ItemFlowEvent holds moves of saved testapp"
        ):
            flow().add_event(subject, None, large)

    @pytest.mark.parametrize("model", [SpecialItem, BigItem])
    def test_a_proxy_and_a_child_flow_as_what_they_are(self, model: type[Model]) -> None:
        item: Any = model._default_manager.create()
        event: Any = flow().add_event(item, None, large)
        assert event.subject_id == item.pk
        assert flow().count() == 1

    def test_an_event_with_callables_has_a_delivery(self) -> None:
        flow().add_event(Item.objects.create(), None, large)
        assert not Delivery.objects.exists()
        event: Any = flow(event_callables=[print]).add_event(Item.objects.create(), None, large)
        delivery = Delivery.objects.get()
        assert (delivery.flow, delivery.event_model, delivery.event_id) == (
            "growing",
            "testapp.itemflowevent",
            event.pk,
        )

    def test_events_are_found_by_source_and_sink_newest_first(self) -> None:
        growing = flow(sources=[None, small], sinks=[large, huge, "elsewhere"])
        item = Item.objects.create()
        pairs = [(None, large), (small, large), (small, huge), (small, "elsewhere"), (None, large)]
        events = [growing.add_event(item, source, sink) for source, sink in pairs]
        flow(slug="another").add_event(item, small, large)
        assert list(growing.all()) == events[::-1]
        assert growing.count() == 5
        assert list(growing.all(source=None)) == [events[4], events[0]]
        assert list(growing.all(sink=large)) == [events[4], events[1], events[0]]
        assert list(growing.all(small, huge)) == [events[2]]
        assert growing.count(small) == 3
        assert growing.count(sink="elsewhere") == 1
        assert growing.count(sink=None) == 0

    def test_counting_takes_one_query_and_listing_none_before_its_time(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            events = flow().all(small)
            assert len(captured) == 0
            flow().count()
            assert len(captured) == 1
            list(events)
            assert len(captured) == 2


def test_an_unknown_facet_is_told() -> None:
    growing = flow(facets=[Facet("text", "", "text")])
    assert growing.get_facet("text").lookup == "text"
    with pytest.raises(
        UnknownSlug, match=r"No facet of the flow 'growing' has the slug 'test'. Did you mean 'text'"
    ):
        growing.get_facet("test")


class TestForStocks:
    """Flows for a whole dimension."""

    def test_every_move_is_covered_by_one_flow(self) -> None:
        stocks = [small, large, huge]
        flows = Flow.for_stocks(ItemFlowEvent, stocks)
        for source in (None, *stocks):
            for sink in (None, *stocks):
                covering = [one.slug for one in flows if one.covers(source, sink)]
                assert len(covering) == (source is not sink), (source, sink)

    def test_they_are_named_for_where_they_lead(self) -> None:
        facet = Facet("text", "", "text")
        flows = Flow.for_stocks(ItemFlowEvent, Stock.for_choices(Item, "size"), facets=[facet])
        assert [(one.slug, one.name) for one in flows] == [
            ("to-item-1", "Becoming Small"),
            ("to-item-2", "Becoming Large"),
            ("leaving-item", "Leaving"),
        ]
        assert all(one.get_facet("text").facet is facet for one in flows)

    def test_one_stock_is_a_dimension_too(self) -> None:
        assert [one.slug for one in Flow.for_stocks(ItemFlowEvent, [small])] == ["to-small", "leaving-item"]

    @pytest.mark.parametrize(
        ("slugs", "leaving"),
        [
            (["lead-new", "lead-nurtured"], "leaving-lead"),
            (["hot", "warm"], "leaving-item"),
            (["past_due_a", "past_due_b"], "leaving-past_due"),
        ],
    )
    def test_the_flow_out_is_named_for_what_the_slugs_share(self, slugs: list[str], leaving: str) -> None:
        stocks = [Stock(slug, slug, Item.objects.all()) for slug in slugs]
        assert Flow.for_stocks(ItemFlowEvent, stocks)[-1].slug == leaving

    def test_the_flow_out_is_named_as_asked(self) -> None:
        assert Flow.for_stocks(ItemFlowEvent, [small], leaving="shrunk")[-1].slug == "shrunk"

    @pytest.mark.parametrize("stocks", [[], None, small, {small}])
    def test_anything_but_a_list_of_stocks_is_told(self, stocks: Any) -> None:
        with pytest.raises(
            DeclarationError, match=r"for_stocks\(\) got .* as stocks; pass a list of the stocks"
        ):
            Flow.for_stocks(ItemFlowEvent, stocks)

    def test_anything_but_stocks_is_told(self) -> None:
        stocks: Any = [small, "large"]
        with pytest.raises(DeclarationError, match="got 'large' among its stocks; pass Stock objects"):
            Flow.for_stocks(ItemFlowEvent, stocks)


def test_the_flows_of_owners_are_theirs() -> None:
    owners = Stock("owners", "", Owner.objects.all())
    assert Flow("joining", "Joining", OwnerFlowEvent, [None], [owners]).subject_model is Owner
