"""Stocks: named querysets that are counted, listed, split and explained."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import Count, QuerySet
from django.test.utils import CaptureQueriesContext

from stockandflow.declarations import Facet, Flow, Stock
from stockandflow.exceptions import DeclarationError, InvalidInput, NotRegistered, UnknownSlug
from stockandflow.models import StockFacetRecord, StockRecord
from stockandflow.registry import Registry
from tests.testapp.models import Item, ItemFlowEvent, ItemQuerySet, Owner, Part


def stock(queryset: Any = None, **given: Any) -> Stock:
    queryset = Item.objects.filter(number=1) if queryset is None else queryset
    return Stock(**{"slug": "ones", "name": "Ones", "queryset": queryset, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slug": "past due"}, r"The stock slug 'past due' can't be used: .* e\.g\. 'past-due'"),
        ({"slug": "*"}, r"The stock slug '\*' can't be used"),
        ({"slug": "a" * 101}, r"1 to 100 letters"),
        ({"slug": "ä"}, r"The stock slug 'ä' can't be used"),
        ({"slug": "a\n"}, r"can't be used"),
        (
            {"queryset": Item},
            r"'ones' has <class 'tests.testapp.models.Item'> as its queryset; write a queryset of obj",
        ),
        (
            {"queryset": [1]},
            r"'ones' has \[1\] as its queryset; write a queryset of objects, e\.g\. Subscription\.objects",
        ),
        ({"queryset": Item.objects.raw("SELECT 1")}, r"'ones' has <RawQuerySet.*write a queryset of objects"),
        (
            {"queryset": Item.objects.filter(pk=1).union(Item.objects.filter(pk=2))},
            r"The queryset of the stock 'ones' is a union; write one filter with Q\(…\) \| Q\(…\)\.",
        ),
        (
            {"queryset": Item.objects.order_by("pk")[:10]},
            r"'ones' is sliced, .* can't depend on an order; write a filter",
        ),
        (
            {"queryset": Item.objects.values("pk")},
            r"'ones' gives values; a stock holds objects, so leave .values\(\) out",
        ),
        ({"queryset": Item.objects.values_list("pk", flat=True)}, r"gives values; a stock holds objects"),
        ({"queryset": Item.objects.dates("day", "year")}, r"gives values; a stock holds objects"),
    ],
)
def test_a_wrong_stock_is_refused_where_it_is_built(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        stock(**given)


@pytest.mark.parametrize("slug", ["a", "Past_Due-2", "a" * 100, "-", "0"])
def test_a_slug_is_letters_digits_hyphens_and_underscores(slug: str) -> None:
    assert stock(slug=slug).slug == slug


def test_a_manager_stands_for_its_queryset() -> None:
    managed = stock(Item.objects)
    assert isinstance(managed.queryset, ItemQuerySet)
    assert managed.model is Item


def test_a_stock_is_changed_only_by_replacement() -> None:
    ones: Any = stock(facets=[(Facet("owner", "Owner", "name"), "owner")])
    with pytest.raises(FrozenInstanceError):
        ones.name = "Twos"
    Registry().register(ones)
    twos = replace(ones, name="Twos")
    assert (twos.name, twos.slug, twos.facets) == ("Twos", "ones", ones.facets)
    with pytest.raises(NotRegistered):
        twos.registry  # noqa: B018 - a copy is a declaration of its own


def test_a_stock_is_itself_alone_and_reads_well() -> None:
    one, other = stock(), stock()
    assert one != other
    assert len({one, other, one}) == 2
    assert (str(one), repr(one)) == ("Ones", "<Stock ones>")


SHAPES: dict[str, QuerySet[Any]] = {
    "local": Item.objects.filter(number=1),
    "join": Item.objects.filter(parts__weight=1),
    "group": Item.objects.annotate(n=Count("parts")).filter(n__gt=1),
    "subquery": Item.objects.filter(owner__in=Owner.objects.filter(active=True)),
    "distinct": Item.objects.filter(parts__weight=1).distinct(),
    "ordered": Item.objects.filter(number=1).order_by("owner__name", "-pk"),
    "deferred": Item.objects.filter(number=1).only("text", "owner").select_related("owner"),
    "none": Item.objects.none(),
    "everything": Item.objects.all(),
}


@pytest.mark.django_db
@pytest.mark.parametrize("shape", SHAPES)
def test_all_lists_each_member_once_and_count_is_its_length(shape: str) -> None:
    owner = Owner.objects.create(name="Ann")
    items = [Item.objects.create(number=1, owner=owner) for _ in range(3)]
    Item.objects.create(number=2)
    for item in items[:2]:
        Part.objects.create(item=item, weight=1)
        Part.objects.create(item=item, weight=1)
    members = stock(SHAPES[shape]).all()
    expected = {"join": 2, "group": 2, "distinct": 2, "none": 0, "everything": 4}.get(shape, 3)
    assert len(members) == len(set(members)) == stock(SHAPES[shape]).count() == expected
    with CaptureQueriesContext(connection) as captured:
        stock(SHAPES[shape]).count()
    assert len(captured) <= 1


@pytest.mark.django_db
@pytest.mark.parametrize("shape", SHAPES)
def test_the_members_have_the_projects_own_methods(shape: str) -> None:
    members: Any = stock(SHAPES[shape]).all()
    assert isinstance(members, ItemQuerySet)
    if shape != "distinct":
        members.paint("blue")


@pytest.mark.django_db
def test_all_is_fresh_and_leaves_the_declaration_alone() -> None:
    ones = stock()
    assert list(ones.all()) == []
    item = Item.objects.create(number=1)
    assert list(ones.all()) == [item]
    assert ones.all() is not ones.all()
    assert ones.queryset._result_cache is None


@pytest.mark.django_db
def test_slices_of_several_facets_narrow_each_other() -> None:
    ann, bob = (Owner.objects.create(name=name) for name in ("Ann", "Bob"))
    wanted = Item.objects.create(number=1, text="gold", owner=ann)
    Item.objects.create(number=1, text="gold", owner=bob)
    Item.objects.create(number=1, text="tin", owner=ann)
    Item.objects.create(number=2, text="gold", owner=ann)
    for kind in ("a", "b"):
        Part.objects.create(item=wanted, kind=kind)
    ones = stock(
        facets=[
            Facet("text", "", "text"),
            (Facet("owner", "", "name"), "owner"),
            Facet("kind", "", "parts__kind"),
        ]
    )
    assert list(ones.members_with({"text": "gold", "owner": "Ann", "kind": "b"})) == [wanted]
    assert ones.members_with({}).count() == 3


def test_an_unknown_facet_is_told() -> None:
    ones = stock(facets=[Facet("text", "", "text"), Facet("size", "", "size")])
    for ask in (
        ones.get_facet,
        lambda slug: ones.faceted_qs(slug, 1),
        lambda slug: ones.members_with({slug: "a"}),
    ):
        with pytest.raises(
            UnknownSlug, match=r"No facet of the stock 'ones' has the slug 'sise'. Did you mean 'size'\?"
        ):
            ask("sise")


class TestRecords:
    """Counting and keeping the count."""

    pytestmark = pytest.mark.django_db

    def test_save_count_keeps_the_total_and_every_facet_value(self) -> None:
        Item.objects.create(number=1, text="gold")
        Item.objects.create(number=1)
        Item.objects.create(number=2, text="tin")
        ones = stock(facets=[Facet("text", "", "text", ["gold", "tin"])])
        assert ones.most_recent_record() is None
        record = ones.save_count()
        assert (record.stock, record.count, record.method) == ("ones", 2, "counted")
        found = (
            StockFacetRecord.objects.filter(stock_record=record).order_by("id").values_list("value", "count")
        )
        assert list(found) == [("gold", 1), ("tin", 0), ("(none)", 1)]
        assert ones.most_recent_record() == record

    def test_save_count_is_stamped_by_the_clock(self) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        record = stock().save_count()
        assert before < record.timestamp < datetime.now(UTC) + timedelta(seconds=2)

    def test_save_count_twice_for_one_instant_keeps_the_second(self) -> None:
        at = datetime(2024, 1, 1, tzinfo=UTC)
        ones = stock(facets=[Facet("text", "", "text")])
        Item.objects.create(number=1, text="gold")
        ones.save_count(at)
        Item.objects.update(text="tin")
        Item.objects.create(number=1)
        ones.save_count(at=at)
        assert StockRecord.objects.get().count == 2
        assert set(StockFacetRecord.objects.values_list("value", "count")) == {("tin", 1), ("(none)", 1)}

    def test_the_most_recent_record_is_the_latest_instant_not_the_last_written(self) -> None:
        ones = stock()
        late = ones.save_count(datetime(2024, 1, 2, tzinfo=UTC))
        ones.save_count(datetime(2024, 1, 1, tzinfo=UTC))
        stock(slug="others").save_count(datetime(2024, 1, 3, tzinfo=UTC))
        assert ones.most_recent_record() == late

    def test_a_naive_instant_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"at is the naive datetime .*make_aware"):
            stock().save_count(datetime(2024, 1, 1))  # noqa: DTZ001
        assert not StockRecord.objects.exists()


class TestNeighbours:
    """What a stock knows once it is registered."""

    def flow(self, slug: str, sources: list[Any], sinks: list[Any]) -> Flow:
        return Flow(slug, slug, ItemFlowEvent, sources, sinks)

    def test_before_that_it_says_so(self) -> None:
        for ask in ("inflows", "outflows", "registry"):
            with pytest.raises(
                NotRegistered, match=r"The stock 'ones' isn't registered, .* pass it, its tracker or its"
            ):
                getattr(stock(), ask)
        for method in ("flows_into", "flows_outfrom"):
            with pytest.raises(NotRegistered, match="'ones' isn't registered"):
                getattr(stock(), method)()

    @pytest.mark.django_db
    def test_flows_into_and_out_come_with_their_events(self) -> None:
        ones, twos = stock(), stock(slug="twos")
        coming, going = (
            self.flow("coming", [None, twos], [ones, twos]),
            self.flow("going", [ones, twos], [None]),
        )
        Registry().register(coming, going)
        item = Item.objects.create()
        came = [coming.add_event(item, source, ones) for source in (None, twos)]
        coming.add_event(item, None, twos)
        went = going.add_event(item, ones)
        going.add_event(item, twos)
        assert (ones.inflows, ones.outflows) == ([coming], [going])
        assert {flow: set(events) for flow, events in ones.flows_into().items()} == {coming: set(came)}
        assert {flow: set(events) for flow, events in ones.flows_outfrom().items()} == {going: {went}}
        assert list(twos.flows_into()) == [coming]
        assert list(twos.flows_outfrom()) == [coming, going]

    def test_the_projects_registry_stays_its_home(self) -> None:
        ones = stock()
        coming, other = self.flow("coming", [None], [ones]), self.flow("other", [None], [ones])
        project, test = Registry(is_projects=True), Registry()
        project.register(coming)
        test.register(other)
        assert ones.registry is project
        assert ones.inflows == [coming]
        assert test.inflows(ones) == [other]

    def test_the_registry_of_a_test_gives_way(self) -> None:
        ones = stock()
        coming, other = self.flow("coming", [None], [ones]), self.flow("other", [None], [ones])
        Registry().register(coming)
        assert ones.inflows == [coming]
        Registry().register(other)
        assert ones.inflows == [other]

    def test_what_is_taken_back_has_no_home(self) -> None:
        kept, lost, registry = stock(), stock(), Registry()
        wrong: Any = "no declaration"
        registry.register(kept)
        with pytest.raises(DeclarationError), registry.transaction():  # noqa: PT012 - two steps, as in a module
            registry.register(lost)
            registry.register(wrong)
        assert kept.registry is registry
        assert not lost.is_registered


class TestForChoices:
    """A whole dimension from a choices field."""

    def test_each_choice_is_a_stock_in_the_fields_order(self) -> None:
        facet = Facet("text", "", "text")
        stocks = Stock.for_choices(Item, "size", facets=[facet])
        assert [(s.slug, s.name, s.definition) for s in stocks] == [
            ("item-1", "Small", "items whose size is Small"),
            ("item-2", "Large", "items whose size is Large"),
        ]
        assert all(s.get_facet("text").facet is facet for s in stocks)

    @pytest.mark.django_db
    def test_they_hold_every_object_but_those_without_a_value(self) -> None:
        for size in (1, 1, 2, None):
            Item.objects.create(size=size)
        assert [s.count() for s in Stock.for_choices(Item, "size")] == [2, 1]

    def test_the_prefix_may_be_given(self) -> None:
        assert [s.slug for s in Stock.for_choices(Item, "size", prefix="")] == ["1", "2"]
        assert [s.slug for s in Stock.for_choices(Item, "size", prefix="size_")] == ["size_1", "size_2"]

    @pytest.mark.parametrize(
        ("choices", "slugs"),
        [
            ([("Past Due", "x"), ("", "none"), ("a/b", "x")], ["past-due", "blank", "a-b"]),
            ([("group", [("a", "A"), ("b", "B")]), (None, "empty")], ["a", "b"]),
            ([("ü", "x")], ["blank"]),
        ],
    )
    def test_slugs_are_made_of_the_values(self, choices: Any, slugs: list[str]) -> None:
        assert [s.slug for s in Stock.for_choices(chosen(choices), "status", prefix="")] == slugs

    def test_choices_that_give_one_slug_are_told(self) -> None:
        model = chosen([("a b", "x"), ("a-b", "y")])
        with pytest.raises(
            DeclarationError,
            match=r"Two choices of testapp.Chosen.status give the slug 'chosen-a-b', .*'a-b'",
        ):
            Stock.for_choices(model, "status")

    @pytest.mark.parametrize("name", ["text", "owner", "parts"])
    def test_a_field_without_choices_is_told(self, name: str) -> None:
        with pytest.raises(
            DeclarationError, match=rf"testapp.Item.{name} has no choices; declare its stocks one by one"
        ):
            Stock.for_choices(Item, name)

    def test_a_field_that_does_not_exist_is_told(self) -> None:
        with pytest.raises(
            DeclarationError, match=r"no field testapp.Item.siz; the fields of Item with choices are 'size'"
        ):
            Stock.for_choices(Item, "siz")
        with pytest.raises(
            DeclarationError, match=r"no field testapp.Part.size; the fields of Part with choices are none"
        ):
            Stock.for_choices(Part, "size")


def chosen(choices: Any) -> type[models.Model]:
    from django.apps.registry import Apps

    meta = type("Meta", (), {"app_label": "testapp", "apps": Apps()})
    field = models.CharField(max_length=20, null=True, choices=choices)
    return type("Chosen", (models.Model,), {"__module__": __name__, "Meta": meta, "status": field})


@pytest.mark.django_db
def test_a_stock_is_explained_in_words_and_as_sql() -> None:
    ones = stock(Item.objects.filter(number=1, text="it's"))
    assert ones.definition == "items whose number is 1 and text is “it's”"
    assert "WHERE" in ones.sql
    assert "it''s" in ones.sql or "it\\'s" in ones.sql


class TestBetter:
    @pytest.mark.parametrize(
        ("better", "change", "judged"),
        [
            ("up", 3, "better"),
            ("up", -3, "worse"),
            ("down", 3, "worse"),
            ("down", -3, "better"),
            ("up", 0, ""),
            ("down", None, ""),
            (None, 3, ""),
        ],
    )
    def test_a_change_is_judged_where_the_stock_says_which_way_is_better(
        self, better: Any, change: int | None, judged: str
    ) -> None:
        stock = Stock(slug="some", name="Some", queryset=Item.objects.all(), better=better)
        assert stock.judged(change) == judged

    @pytest.mark.parametrize("better", ["Up", "", True, 1, ["up"]])
    def test_another_way_is_refused(self, better: Any) -> None:
        with pytest.raises(DeclarationError, match=r"'some' has better=.*; write 'up' or 'down', the way"):
            Stock(slug="some", name="Some", queryset=Item.objects.all(), better=better)

    def test_choices_say_it_by_their_values(self) -> None:
        assert [one.better for one in Stock.for_choices(Item, "size", better={2: "down"})] == [None, "down"]

    @pytest.mark.parametrize(("better", "told"), [({7: "up"}, "has 7 in better"), ("up", "has better='up'")])
    def test_choices_refuse_what_is_none(self, better: Any, told: str) -> None:
        with pytest.raises(DeclarationError, match=rf"testapp.Item.size {told}; write a dict of choice"):
            Stock.for_choices(Item, "size", better=better)
