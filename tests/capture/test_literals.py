"""No value in a queryset can break out of a trigger, or mean something else within it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stockandflow import capture
from stockandflow.capture.triggers import compile_triggers
from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.exceptions import NotLocal
from stockandflow.membership import compiled_where
from tests.capture.conftest import declared
from tests.shared import empty
from tests.testapp.models import Item, ItemFlowEvent, Owner

pytestmark = pytest.mark.usefixtures("transactional_db")

PIECES = [
    "'", "''", '"', "`", "\\", "\\'", "%", "%s", "%%", "%(x)s", "$", "$$", "$sf$", "$sf_", "$1", "?", ":x", ";", "--",
    "/*", "*/", "#", "\n", "\r", "\t", "\x1a", "\b", "{}", "{0}", "@name@", "@tag@", "END", "; END; DROP TABLE x; --",
    "' OR 1=1 --", "') OR ('1'='1", "new.text", "NULL", "é", "ß", "☃", "🦆", "\u202e", " ", "",
]  # fmt: skip
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40),
)


def tracker_of(text: str) -> ModelTracker:
    """The text is in every place that a project's own value can come to: membership, and the name of a state."""
    rows = Item.objects.all()
    first = Stock(slug="first", name=text, queryset=rows.filter(text=text), description=text)
    second = Stock(slug="second", name="Second", queryset=rows.filter(text__startswith=text + "x"))
    third = Stock(slug="third", name="Third", queryset=rows.filter(text__in=[text + "y", "y"]))
    flow = Flow(
        slug="flow",
        name=text,
        flow_event_model=ItemFlowEvent,
        sources=[None],
        sinks=[first],
        description=text,
    )
    return ModelTracker(stocks=[first, second, third], flows=[flow])


@given(text=TEXT)
@example(text="$sf_0123456789abcdef$")
@example(text="\\")
@example(text="'; DELETE FROM testapp_owner; --")
@settings(max_examples=25)
def test_a_value_means_in_the_trigger_what_it_means_in_the_queryset(text: str) -> None:
    empty()
    tracker = tracker_of(text)
    Owner.objects.create(name="still here")
    with declared(tracker):
        Item.objects.bulk_create([Item(text=t) for t in (text, text + "x", text + "y", "y", "other", None)])
        Item.objects.filter(text="other").update(text=text)
        for stock in tracker.stocks:
            members = set(stock.queryset.values_list("pk", flat=True))
            events = ItemFlowEvent.objects.filter(sink=stock.slug)
            assert {event.subject_id for event in events} == members

    assert Owner.objects.count() == 1


SETTINGS = {
    "sqlite": {"nothing": ("SELECT 1", "SELECT 1")},
    "postgresql": {
        "standard_conforming_strings": (
            "SET standard_conforming_strings = off",
            "SET standard_conforming_strings = on",
        )
    },
    "mysql": {
        "NO_BACKSLASH_ESCAPES": (
            "SET sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
            "SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
        ),
        "ANSI_QUOTES": (
            "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
            "SET sql_mode = REPLACE(@@sql_mode, 'ANSI_QUOTES', '')",
        ),
    },
}[connection.vendor]
HOSTILE = [
    "\\",
    "\\'",
    "\\\\'; DELETE FROM testapp_owner; -- ",
    "'\\''",
    '\\"',
    "\\n",
    "%\\_",
    "'" + "\\" * 3,
]


@pytest.mark.parametrize("when", ["installed", "written"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_session_that_reads_literals_otherwise_changes_nothing(setting: str, when: str) -> None:
    """Whether it is the one that installs the triggers, or the one that writes."""
    there, back = SETTINGS[setting]
    rows = Item.objects.all()
    Owner.objects.create(name="still here")
    stocks = [
        Stock(slug=f"it-{number}", name=text, queryset=rows.filter(text=text))
        for number, text in enumerate(HOSTILE)
    ]
    tracker = ModelTracker(stocks=stocks, flows=Flow.for_stocks(ItemFlowEvent, stocks))
    Item.objects.bulk_create([Item(text="other", number=number) for number in range(len(HOSTILE))])
    written = connection.cursor()
    if when == "installed":
        written.execute(there)
    with declared(tracker):
        written.execute(back if when == "installed" else there)
        try:
            for number, text in enumerate(HOSTILE):
                # By parameters that the database itself reads: a literal would be the writing driver's affair.
                as_bytes = {"sqlite": "CAST(X'{}' AS TEXT)", "mysql": "CONVERT(X'{}' USING utf8mb4)"}.get(
                    connection.vendor, "convert_from(decode('{}', 'hex'), 'UTF8')"
                )
                value = as_bytes.format(text.encode().hex())
                written.execute(f"UPDATE testapp_item SET text = {value} WHERE {ORDER} = {number}")
        finally:
            written.execute(back)

    events = ItemFlowEvent.objects.order_by("pk").values_list("subject__number", "sink")
    assert list(events) == [(number, f"it-{number}") for number in range(len(HOSTILE))]
    assert Owner.objects.count() == 1


NAME = Owner._meta.get_field("name").max_length
ORDER = connection.ops.quote_name("order") if connection.vendor != "mysql" else "`order`"


@given(values=st.lists(st.tuples(TEXT, TEXT.map(lambda text: text[:NAME])), min_size=20, max_size=40))
@settings(max_examples=4)
def test_a_rows_own_values_are_kept_as_facets_to_the_letter(values: list[tuple[str, str]]) -> None:
    empty()
    facets = [
        Facet("fuzz-text", "Text", field_lookup="text"),
        Facet("fuzz-owner", "Owner", field_lookup="owner__name"),
    ]
    stock = Stock(slug="all-items", name="All", queryset=Item.objects.all(), facets=facets)
    with declared(ModelTracker(stocks=[stock], event_model=ItemFlowEvent)):
        for text, name in values:
            Item.objects.create(text=text, owner=Owner.objects.create(name=name))

    kept = ItemFlowEvent.objects.order_by("pk").values_list("facets", flat=True)
    assert list(kept) == [{"fuzz-text": text, "fuzz-owner": name} for text, name in values]


@given(text=TEXT)
@settings(max_examples=10)
def test_postgresqls_tag_is_nowhere_else_in_the_body(text: str) -> None:
    """The tag can't be guessed: it is made of the digest of the body that would have to hold it."""
    for trigger in compile_triggers(tracker_of(f"$sf_0123456789abcdef${text}"), connection):
        tag = f"$sf_{trigger.name.split('_')[2]}$"
        tags = [statement.count(tag) for statement in trigger.sql]
        assert tags == ([2, 0] if connection.vendor == "postgresql" else [0])


def test_a_value_that_holds_the_words_of_the_template_is_kept() -> None:
    with declared(tracker_of("@name@ @tag@")):
        Item.objects.create(text="@name@ @tag@")

    assert ItemFlowEvent.objects.get().sink == "first"


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL itself knows no such text")
def test_a_nul_is_refused_since_sql_cannot_carry_it() -> None:
    queryset: Any = Item.objects.filter(text="a\x00b")
    with pytest.raises(NotLocal, match="NUL"):
        compiled_where(queryset, "new", connection)
    tracker = ModelTracker(
        stocks=[Stock(slug="nul", name="NUL", queryset=queryset)], event_model=ItemFlowEvent
    )
    assert capture.method_for(tracker, connection).kind == "signals"
    with declared(tracker):
        Item.objects.create(text="a\x00b")

    assert ItemFlowEvent.objects.get().sink == "nul"
