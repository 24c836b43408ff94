"""Objects whose keys are no plain numbers are listed, followed and worked through like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.test import Client

from stockandflow.declarations import Flow, ModelTracker, Process, Stock
from stockandflow.registry import registry
from tests.capture.keyed.models import (
    BigItemFlowEvent,
    Parcel,
    ParcelFlowEvent,
    Region,
    RegionFlowEvent,
    Voucher,
    VoucherFlowEvent,
)
from tests.site.test_objects import html_of, names_of
from tests.site.test_timeline import rows_of
from tests.testapp.models import BigItem, Owner

pytestmark = pytest.mark.django_db

CODES = ["a/b", "ü & ß", "..", ".", "?x=1#y", "100%", "_", "a b", "'\"<i>", "日本", "%2F", "a.b"]
OBJECTS = "/stockandflow/odd/objects/"


def regions() -> list[Any]:
    return [Region.objects.create(code=code) for code in CODES]


def parcels() -> list[Any]:
    return [Parcel.objects.create() for _ in range(3)]


def vouchers() -> list[Any]:
    owner = Owner.objects.create(name="Ann")
    return [Voucher.objects.create(code=code, state="new", owner=owner) for code in ("x/1", "x/2")]


def children() -> list[Any]:
    return [BigItem.objects.create(number=number) for number in range(3)]


KINDS = [
    (Region, RegionFlowEvent, regions),
    (Parcel, ParcelFlowEvent, parcels),
    (Voucher, VoucherFlowEvent, vouchers),
    (BigItem, BigItemFlowEvent, children),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0].__name__)
def subjects(request: pytest.FixtureRequest) -> Iterator[list[Any]]:
    """The members of the only stock of the process ``odd``, each with the event by which it came."""
    model, events, make = request.param
    with registry.set_aside():
        stock = Stock("all", "All", model._default_manager.all())
        flow = Flow("coming", "Coming", events, sources=[None], sinks=[stock])
        registry.register(Process("odd", "Odd", [stock], [flow]))
        made = make()
        for one in made:
            flow.add_event(one, None, stock)
        yield made


def test_each_is_in_the_list_and_leads_to_what_happened_to_it(
    subjects: list[Any], admin_client: Client
) -> None:
    for query in ("kind=level&stock=all", "kind=flow&flow=coming&since=2000-01-01"):
        html = html_of(admin_client, f"{OBJECTS}?{query}")
        assert sorted(names_of(html)) == sorted(map(str, subjects))
        links = re.findall(r'<th scope="row"><a href="(.*?)">(.*?)</a>', html)
        for url, name in links:
            page = html_of(admin_client, unescape(url))
            assert f"<h1>{name}</h1>" in page
            assert [row[:3] for row in rows_of(page)] == [["Coming", "outside", "All"]]


def test_each_comes_once_while_working_through_them(subjects: list[Any], admin_client: Client) -> None:
    address, seen = "/stockandflow/odd/stocks/all/work/", []
    while address:
        html = html_of(admin_client, address)
        seen += [unescape(name) for name in re.findall(r'<h2 id="sf-work">(.*?)</h2>', html)]
        following = re.search(r'rel="next" href="(.*?)"', html)
        address = f"/stockandflow/odd/stocks/all/work/{unescape(following[1])}" if following else ""
    assert sorted(seen) == sorted(map(str, subjects))


def test_what_is_gone_is_found_by_the_key_that_its_events_keep(
    subjects: list[Any], admin_client: Client
) -> None:
    subjects[0].delete()
    html = html_of(admin_client, f"{OBJECTS}?kind=flow&flow=coming&since=2000-01-01&measure=subjects")
    (url,) = re.findall(r'Gone: <a href="(.*?)">', html)
    assert "This object is gone." in html_of(admin_client, unescape(url))


def test_a_tracker_of_odd_keys_tells_its_past(admin_client: Client) -> None:
    with registry.set_aside():
        stock = Stock("all", "All", Region.objects.all())
        flow = Flow("coming", "Coming", RegionFlowEvent, sources=[None], sinks=[stock])
        registry.register(ModelTracker(stocks=[stock], flows=[flow]), Process("odd", "Odd", [stock]))
        made = regions()
        html = html_of(admin_client, f"{OBJECTS}?kind=level&stock=all&value={len(made)}")
        assert sorted(names_of(html)) == sorted(CODES)
