"""The check by sums: what it takes for in order is in order, whatever was missed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from stockandflow.capture import sums
from stockandflow.capture.auditing import audit_tracker
from stockandflow.capture.sums import EVERYWHERE
from stockandflow.capture.sweep import Comparison, Range, sweep
from stockandflow.declarations import Flow, ModelTracker, Stock
from tests.capture.keyed.models import Parcel, ParcelFlowEvent, Region, RegionFlowEvent
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="PostgreSQL alone is asked for sums"
)

KEYS = (-9, -8, -1, 0, 1, 7, 8, 9, 40)
TEXTS = ("draft", "done", "sent", "x", None)
NAMES = ("draft", "done", "sent")


def tracker_of(*conditions: Q, events: Any = ItemFlowEvent) -> ModelTracker:
    rows = events._meta.get_field("subject").related_model._default_manager.all()
    stocks = [Stock(name, name, rows.filter(q)) for name, q in zip(NAMES, conditions, strict=True)]
    return ModelTracker(stocks=stocks, flows=Flow.for_stocks(events, stocks), slug="summed")


BY_ONE_COLUMN = [Q(text=name) for name in NAMES]
BY_TWO = [Q(text="draft"), Q(text="done", number__isnull=True), Q(text__startswith="s")]


def put(key: int, text: str | None) -> None:
    """The item is where the text says; None that there is none."""
    Item.objects.filter(pk=key).delete()
    if text is not None:
        Item.objects.create(pk=key, text=text)


def noted(key: Any, source: str, sink: str, events: Any = ItemFlowEvent) -> None:
    now = timezone.now()
    events.objects.create(
        tracker="summed", subject_id=key, source=source, sink=sink, timestamp=now, recorded_at=now
    )


def alone(tracker: ModelTracker) -> list[Any]:
    """What the comparison alone finds: the missing moves and the gaps."""
    comparison = Comparison(tracker, "default")
    return within(comparison, comparison.ranges(None, 100))


def checked(tracker: ModelTracker) -> list[Any]:
    """What it finds where sums tell it to look."""
    comparison = Comparison(tracker, "default")
    return within(comparison, comparison.ranges(None, 3, comparison.doubtful()))


def within(comparison: Comparison, ranges: Iterable[Range]) -> list[Any]:
    looked = list(ranges)
    missing = [found for reached in looked for found in comparison.found(reached)]
    return [*missing, *(gap for reached in looked for gap in comparison.gaps(reached))]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.sampled_from(TEXTS)),
        st.tuples(st.just("swap"), st.sampled_from(KEYS), st.sampled_from(KEYS)),
        st.tuples(st.just("key"), st.sampled_from(KEYS), st.sampled_from(KEYS)),
        # Few keys and many moves, so that missed ones cancel each other out.
        st.tuples(st.sampled_from(["seen", "unseen"]), st.sampled_from(KEYS[:2]), st.sampled_from(TEXTS)),
        st.tuples(
            st.just("event"), st.sampled_from(KEYS), st.tuples(*[st.sampled_from(("", "seed", *NAMES))] * 2)
        ),
        st.tuples(st.just("sweep"), st.none(), st.none()),
    ),
    max_size=25,
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("conditions", [BY_ONE_COLUMN, BY_TWO])
@given(steps=STEPS)
@settings(max_examples=settings().max_examples)
def test_with_the_check_exactly_that_is_found_which_the_comparison_finds_alone(
    conditions: list[Q], steps: list[Any]
) -> None:
    tracker = tracker_of(*conditions)
    Item.objects.all().delete()
    ItemFlowEvent.objects.all().delete()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "BLOCK_BITS", 2)  # blocks that the few keys fill
        for kind, key, value in steps:
            if kind in ("put", "unseen"):
                put(key, value)
            elif kind == "seen":
                before = Item.objects.filter(pk=key).values_list("text", flat=True).first()
                put(key, value)
                source, sink = (text if text in NAMES else "" for text in (before, value))
                if source != sink:
                    noted(key, source, sink)
            elif kind == "swap":
                texts = [
                    Item.objects.filter(pk=one).values_list("text", flat=True).first() for one in (key, value)
                ]
                put(key, texts[1])
                put(value, texts[0])
            elif kind == "key" and not Item.objects.filter(pk=value).exists():
                Item.objects.filter(pk=key).update(id=value)
            elif kind == "event":
                noted(key, *value)
            elif kind == "sweep":
                sweep(tracker, "default")
        assert checked(tracker) == alone(tracker)


@pytest.mark.django_db
class TestWhereItLooks:
    """Which keys are left to be compared."""

    def test_what_is_in_order_is_not_compared(self) -> None:
        Item.objects.bulk_create(Item(text=text) for text in ("draft", "done", "x") * 3)
        tracker = tracker_of(*BY_ONE_COLUMN)
        sweep(tracker, "default")
        assert Comparison(tracker, "default").doubtful() == []
        with CaptureQueriesContext(connection) as queries:
            assert audit_tracker(tracker, "default").in_order
        assert not [query for query in queries if "FULL JOIN" in query["sql"]]

    def test_blocks_that_differ_are_compared_neighbours_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sums, "BLOCK_BITS", 4)
        tracker = tracker_of(*BY_ONE_COLUMN)
        sweep(tracker, "default")
        for key in (-20, -16, -1, 0, 64, 79):
            put(key, "draft")
        assert Comparison(tracker, "default").doubtful() == [(-33, 15), (63, 79)]
        assert sweep(tracker, "default").moves == {("", "draft"): 6}
        assert Comparison(tracker, "default").doubtful() == []

    def test_missed_moves_that_cancel_each_other_out_are_found(self) -> None:
        """Missed draft → done and done → draft, and between them a captured way back."""
        tracker = tracker_of(*BY_ONE_COLUMN)
        put(1, "draft")
        sweep(tracker, "default")
        noted(1, "done", "sent")
        noted(1, "sent", "done")
        assert checked(tracker) == alone(tracker)
        assert alone(tracker)[0] == (1, "done", "draft")

    @pytest.mark.parametrize(
        ("rows", "events", "keys"),
        [
            (Region, RegionFlowEvent, ("é", "A", "a'%s")),
            (Parcel, ParcelFlowEvent, (UUID(int=1), UUID(int=2))),
        ],
    )
    def test_keys_that_are_no_numbers_are_one_block(self, rows: Any, events: Any, keys: tuple[Any]) -> None:
        tracker = tracker_of(*(Q(status=name) for name in NAMES), events=events)
        for key in keys:
            rows.objects.create(pk=key, status="done")
        sweep(tracker, "default")
        assert Comparison(tracker, "default").doubtful() == []
        rows.objects.filter(pk=keys[0]).update(status="sent")
        assert Comparison(tracker, "default").doubtful() == EVERYWHERE
        assert sweep(tracker, "default").moves == {("done", "sent"): 1}
        assert Comparison(tracker, "default").doubtful() == []

    def test_two_that_change_places_are_found_whatever_their_keys(self) -> None:
        """The hash of PostgreSQL's whole numbers takes these two for one."""
        tracker = tracker_of(*BY_ONE_COLUMN)
        put(1, "draft")
        put(2**32, "done")
        sweep(tracker, "default")
        put(1, "done")
        put(2**32, "draft")
        assert checked(tracker) == alone(tracker) != []

    @pytest.mark.parametrize("outside", ["", "seed"])
    def test_an_event_that_leads_from_outside_to_outside_is_read_in_its_order(self, outside: str) -> None:
        tracker = tracker_of(*BY_ONE_COLUMN)
        for key in (1, 2):
            put(key, "draft")
        noted(1, "seed", outside)
        sweep(tracker, "default")
        assert Comparison(tracker, "default").doubtful() == []
        noted(2, "", outside)
        assert checked(tracker) == alone(tracker) != []

    def test_stocks_that_depend_on_other_rows_are_compared_everywhere(self) -> None:
        tracker = tracker_of(Q(text="draft"), Q(owner__name="x"), Q(owner__name=F("text")))
        sweep(tracker, "default")
        assert Comparison(tracker, "default").doubtful() == EVERYWHERE
