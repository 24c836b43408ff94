"""The JSON document: numbers are numbers, instants are UTC, and its keys stay."""

import json
from datetime import UTC, datetime, timedelta, timezone

from stockandflow.rendering import as_document, series_to_json, to_json
from stockandflow.rendering.document import iso
from tests.rendering.balances import LONDON, balance, business, stock_balance
from tests.rendering.series import five_days


def test_the_document_of_a_process() -> None:
    document = as_document(business(), LONDON)
    assert {key: value for key, value in document.items() if key != "stocks"} == {
        "version": 1,
        "process": {
            "slug": "membership",
            "name": "Membership",
            "description": "How people move from sign-up to active membership, and where they leave.",
        },
        "since": "2026-10-24T23:00:00Z",
        "until": "2026-11-24T00:00:00Z",
        "at": "2026-11-23T18:54:00Z",
        "time_zone": "Europe/London",
        "in_progress": True,
        "status": "in_progress",
        "restated": 0,
        "slice": {},
        "parts": [],
        "slices": {},
        "compared": None,
        "origins": {"live": 0, "initial": 0, "sweep": 0, "import": 0},
    }
    assert document["stocks"][1] == {
        "slug": "past-due",
        "name": "Past due",
        "opening": 191,
        "opening_method": "counted",
        "inflow": 979,
        "outflow": 988,
        "net": -9,
        "unexplained": -3,
        "reclassified": None,
        "closing": 179,
        "closing_method": "counted",
        "change": -12,
        "status": "in_progress",
        "restated": 0,
        "inflows": [
            {
                "flow": "payment-failing",
                "name": "Payment failing",
                "source": "active",
                "sink": "past-due",
                "count": 479,
                "subjects": None,
            },
            {
                "flow": None,
                "name": "Other",
                "source": "trial",
                "sink": "past-due",
                "count": 500,
                "subjects": None,
            },
        ],
        "outflows": [
            {
                "flow": "recovering",
                "name": "Recovering",
                "source": "past-due",
                "sink": "active",
                "count": 988,
                "subjects": None,
            }
        ],
    }


def test_external_and_unknown_are_null() -> None:
    trial, _, urgent = as_document(business(), LONDON)["stocks"]
    assert trial["inflows"][0]["source"] is None
    assert trial["outflows"][2]["sink"] is None
    assert urgent["unexplained"] is None


def test_the_text_is_ascii_and_reads_back_as_the_document() -> None:
    shown = balance(stock_balance("Größe ▲ 説明", 7))
    text = to_json(shown, LONDON)
    assert text.isascii()
    assert json.loads(text) == as_document(shown, LONDON)


def test_the_document_of_a_series() -> None:
    document = json.loads(series_to_json([five_days()], "membership"))
    (series,) = document.pop("series")
    assert document == {"version": 1, "process": "membership"}
    points, gaps = series.pop("points"), series.pop("gaps")
    assert series == {
        "kind": "stock",
        "slug": "trial",
        "name": "Trial",
        "measure": "closing",
        "grain": "day",
        "time_zone": "UTC",
        "since": "2026-07-01T00:00:00Z",
        "until": "2026-07-06T00:00:00Z",
        "open": {
            "start": "2026-07-05T00:00:00Z",
            "end": "2026-07-06T00:00:00Z",
            "value": 0,
            "status": "in_progress",
            "computed_at": None,
        },
        "breaks": [{"at": "2026-07-05T00:00:00Z", "text": "members whose status is 'trial'"}],
    }
    assert [(point["value"], point["status"], point["computed_at"]) for point in points] == [
        (1200, "final", "2026-11-23T18:54:00Z"),
        (600, "provisional", "2026-11-23T18:54:00Z"),
    ]
    assert gaps == [
        {"start": "2026-07-02T00:00:00Z", "end": "2026-07-03T00:00:00Z"},
        {"start": "2026-07-03T00:00:00Z", "end": "2026-07-04T00:00:00Z"},
    ]


def test_instants_are_in_utc_with_their_fraction() -> None:
    at = datetime(2026, 7, 1, 14, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
    assert iso(at) == "2026-07-01T12:00:00.250000Z"
    assert iso(datetime(2026, 7, 1, tzinfo=UTC)) == "2026-07-01T00:00:00Z"
