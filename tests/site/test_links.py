"""The address of a number gives the number back, and anything else is refused."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import models
from django.http import QueryDict
from django.test import RequestFactory
from django.urls import resolve
from hypothesis import given
from hypothesis import strategies as st

from example.membership.models import Member
from example.support.models import Ticket
from stockandflow.declarations import ANY
from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.registry import registry
from stockandflow.reports import Kind, Number
from stockandflow.site.links import (
    number_parameters,
    objects_url,
    read_key,
    read_number,
    subject_key,
    timeline_url,
    written_key,
)

membership = registry.process("membership")
START = datetime(2026, 3, 1, tzinfo=UTC)

TICK = timedelta(microseconds=1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INSTANTS = st.one_of(
    st.integers(0, 9 * 10**15).map(
        lambda microseconds: datetime(1900, 1, 2, tzinfo=UTC) + microseconds * TICK
    ),
    st.dates(START.date() - timedelta(days=900), START.date()).map(membership.calendar.midnight),
)


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    since, until = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    sides = st.one_of(st.sampled_from([ANY, "", "trial", "gone"]), TEXTS)
    return Number(
        draw(st.sampled_from(Kind)),
        process=membership,
        stock=draw(st.none() | st.sampled_from(membership.stocks)),
        flow=draw(st.none() | st.sampled_from(membership.flows)),
        source=draw(sides),
        sink=draw(sides),
        since=draw(st.none() | st.just(since)),
        until=draw(st.none() | st.just(until)),
        measure=draw(st.sampled_from(["count", "subjects"])),
        slice=tuple(sorted(draw(st.dictionaries(st.sampled_from(["plan", "country"]), TEXTS)).items())),
        apart=draw(st.frozensets(TEXTS)),
        value=draw(st.none() | st.integers(-(10**17), 10**17)),
    )


@given(number=numbers())
def test_the_address_of_a_number_gives_the_number_back(number: Number) -> None:
    address = urlsplit(objects_url(number, membership))
    assert resolve(address.path).kwargs == {"slug": "membership"}
    read = read_number(QueryDict(address.query), membership)
    assert read == number
    assert read.value == number.value


def test_a_number_named_without_a_report_is_read_as_the_processs() -> None:
    (stock, *_), (flow, *_) = membership.stocks, membership.flows
    for number in (
        Number.level(stock),
        Number.level(stock, START, facets={"plan": "Pro"}),
        Number.of_flow(flow, START, START + timedelta(days=1), source=None, measure="subjects"),
    ):
        assert read_number(number_parameters(number, membership), membership) == replace(
            number, process=membership
        )


def test_an_address_is_short_where_days_begin() -> None:
    calendar = membership.calendar
    number = Number.of_flow(membership.flows[0], calendar.midnight(START.date()), START + timedelta(hours=15))
    assert objects_url(number, membership) == (
        "/stockandflow/membership/objects/"
        "?kind=flow&flow=signing-up&since=2026-03-01&until=2026-03-01T15%3A00%3A00Z"
    )


def test_an_address_stays_in_the_frame_of_its_page() -> None:
    request = RequestFactory().get("/")
    request.resolver_match = resolve("/stockandflow-admin/pages/membership/")
    number = Number.level(membership.stocks[0])
    assert objects_url(number, membership, request) == (
        "/stockandflow-admin/pages/membership/objects/?kind=level&stock=trial"
    )
    assert timeline_url(Member, 7, membership, request) == (
        "/stockandflow-admin/pages/membership/objects/membership.member/7/"
    )


def test_a_number_of_another_process_has_no_address_here() -> None:
    with pytest.raises(UnknownSlug, match="stock of the process 'support'"):
        objects_url(Number.level(membership.stocks[0]), registry.process("support"))
    flow = Number.of_flow(membership.flows[0], START, START + timedelta(days=1))
    with pytest.raises(UnknownSlug, match="flow of the process 'support'"):
        objects_url(flow, registry.process("support"))


LEVEL = {"kind": "level", "stock": "trial"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "kind is ''; write one of level, flow"),
        ({"kind": "members"}, "kind is 'members'"),
        (
            {**LEVEL, "stock": "trail"},
            "No stock of the process 'membership' has the slug 'trail'. Did you mean 'trial'?",
        ),
        ({**LEVEL, "stock": "ticket-new"}, "No stock of the process 'membership'"),
        ({"kind": "flow", "flow": "asking"}, "No flow of the process 'membership'"),
        ({**LEVEL, "measure": "sum"}, "measure is 'sum'; write one of count, subjects"),
        ({**LEVEL, "until": "tomorrow"}, "until is 'tomorrow', which is no date"),
        ({**LEVEL, "since": "2026-03-02", "until": "2026-03-01"}, "until (2026-03-01) doesn't come after"),
        ({**LEVEL, "facet-channel": "email"}, "No facet of the process 'membership' has the slug 'channel'"),
        ({**LEVEL, "facet-plan__price": "9"}, "has the slug 'plan__price'"),
        ({**LEVEL, "facet-plan": "a\0b"}, "facet-plan is 'a\\x00b', and no text here holds a NUL"),
        ({"kind": "flow", "source": "a" * 101}, "source has 101 characters"),
        ({**LEVEL, "apart": "Basic"}, "apart is 'Basic'; write a JSON list of the values"),
        ({**LEVEL, "apart": "[1]"}, "apart is '[1]'; write a JSON list"),
        ({**LEVEL, "apart": "[" * 200_000}, "apart is '[["),
        ({**LEVEL, "value": "12.5"}, "value is '12.5'; write the number that the report showed"),
        ({**LEVEL, "value": "9" * 5000}, "value is "),
    ],
)
def test_what_names_no_number_is_told(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        read_number(parameters, membership)


def test_other_parameters_are_passed_over() -> None:
    assert read_number({**LEVEL, "page": "\0", "sort": "-name"}, membership) == Number(
        Kind.LEVEL, process=membership, stock=registry.stock("trial")
    )


KEYS: list[tuple[models.Field[Any, Any], Any]] = [
    (models.BigIntegerField(), st.integers(-(2**63), 2**63 - 1)),
    (models.CharField(max_length=50), TEXTS),
    (models.UUIDField(), st.uuids()),
    (models.DateField(), st.dates()),
    (models.DecimalField(max_digits=9, decimal_places=2), st.decimals(-(10**6), 10**6, places=2)),
]


@pytest.mark.parametrize(("field", "keys"), KEYS, ids=lambda value: type(value).__name__)
@given(data=st.data())
def test_any_key_stands_in_one_part_of_an_address(field: Any, keys: Any, data: st.DataObject) -> None:
    field.attname = field.name = "key"
    key = data.draw(keys)
    text = written_key(field, key)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert read_key(field, text) == key


def test_a_plain_key_stands_there_as_it_is() -> None:
    assert timeline_url(Member, 7, membership) == "/stockandflow/membership/objects/membership.member/7/"
    field: Any = models.UUIDField()
    field.attname = "id"
    key = uuid.UUID(int=7)
    assert written_key(field, key) == str(key)
    assert read_key(field, str(key)) == key


@pytest.mark.parametrize("text", ["", "x", "1.5", "_", "_ZZ", "_C3", "7_", "١", "9" * 5000, "_00"])
def test_what_is_no_key_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no key of membership\.Member; follow a link"):
        read_key(Member._meta.pk, text)


def test_objects_of_no_event_are_known_by_their_primary_key() -> None:
    assert subject_key(Ticket, membership) is Ticket._meta.pk
