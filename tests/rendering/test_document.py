"""The JSON document: numbers are numbers, instants are UTC, and its keys stay."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from stockandflow.models import Restatement
from stockandflow.periods import Status
from stockandflow.rendering import as_document, series_to_json, to_json
from stockandflow.rendering.document import iso
from stockandflow.reports import Balance
from tests.rendering.balances import AT, LONDON, balance, business, stock_balance
from tests.rendering.series import five_days
from tests.rendering.test_table import balances

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "report.schema.json").read_text())


def closed(schema: Any) -> Any:
    """The schema, so that it takes no key that it doesn't name; users get it open, for keys to come."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: value if key == "allOf" else closed(value) for key, value in schema.items()}
    if "$defs" in inside:
        inside["$defs"] = {
            name: {key: closed(value) if key != "allOf" else value for key, value in one.items()}
            for name, one in schema["$defs"].items()
        }
    return inside | ({"unevaluatedProperties": False} if {"$ref", "properties"} & schema.keys() else {})


VALIDATOR = Draft202012Validator(closed(SCHEMA))


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
        "grain": None,
        "restated": 0,
        "restatements": [],
        "slice": {},
        "min_cell": None,
        "parts": [],
        "slices": {},
        "compared": None,
        "origins": {"live": 0, "initial": 0, "sweep": 0, "import": 0},
    }
    assert document["stocks"][1] == {
        "slug": "past-due",
        "name": "Past due",
        "better": None,
        "opening": 191,
        "opening_method": "counted",
        "opening_computed_at": None,
        "inflow": 979,
        "outflow": 988,
        "net": -9,
        "unexplained": -3,
        "reclassified": None,
        "closing": 179,
        "closing_method": "counted",
        "closing_computed_at": "2026-11-23T18:54:00Z",
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
                "computed_at": None,
            },
            {
                "flow": None,
                "name": "Other",
                "source": "trial",
                "sink": "past-due",
                "count": 500,
                "subjects": None,
                "computed_at": None,
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
                "computed_at": None,
                "rate": 988 / 191,
            }
        ],
    }


def test_a_restatement_says_what_was_and_what_is_and_why() -> None:
    since = LONDON.midnight(date(2026, 10, 26))
    one = Restatement(
        kind="flow",
        slug="signing-up",
        sink="trial",
        start=since,
        end=since + timedelta(days=1),
        old_count=12,
        new_count=14,
        old_subjects=12,
        new_subjects=13,
        at=AT,
        cause="late events",
    )
    shown = replace(balance(stock_balance("Trial", 7), until=date(2026, 10, 26)), restated=(one,))
    document = as_document(shown, LONDON)
    VALIDATOR.validate(document)
    assert (document["restated"], document["grain"]) == (1, "day")
    assert document["restatements"] == [
        {
            "kind": "flow",
            "slug": "signing-up",
            "source": None,
            "sink": "trial",
            "slice": {},
            "start": "2026-10-26T00:00:00Z",
            "end": "2026-10-27T00:00:00Z",
            "old_count": 12,
            "new_count": 14,
            "old_subjects": 12,
            "new_subjects": 13,
            "at": "2026-11-23T18:54:00Z",
            "cause": "late events",
        }
    ]


@given(balances)
def test_the_schema_describes_each_key_of_a_balance(shown: Balance) -> None:
    whole = replace(shown, parts=(shown,), slices={"Pro": shown}, compared=shown)
    VALIDATOR.validate(as_document(whole, LONDON))


def test_the_schema_describes_each_key_of_a_series() -> None:
    VALIDATOR.validate(json.loads(series_to_json([five_days()])))


@pytest.mark.parametrize("path", [(), ("stocks", 0), ("parts", 0, "stocks", 0, "outflows", 0), ("compared",)])
def test_the_schema_knows_no_other_key_and_misses_each(path: tuple[str | int, ...]) -> None:
    whole = replace(business(), parts=(business(),), compared=business())
    document = as_document(whole, LONDON)
    found: Any = document
    for step in path:
        found = found[step]
    for key, value in list(found.items()):
        del found[key]
        assert not VALIDATOR.is_valid(document), key
        found[key] = value
    assert VALIDATOR.is_valid(document)
    found["another"] = 1
    assert not VALIDATOR.is_valid(document)
    assert Draft202012Validator(SCHEMA).is_valid(document)


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
        "suppressed": False,
        "open": {
            "start": "2026-07-05T00:00:00Z",
            "end": "2026-07-06T00:00:00Z",
            "value": 0,
            "status": "in_progress",
            "computed_at": None,
            "since": None,
        },
        "partial": [],
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


def test_what_is_known_of_a_part_of_a_period_says_since_when() -> None:
    series = five_days()
    first = series.points[0]
    part = replace(first, status=Status.PARTIAL, since=first.start + timedelta(hours=7))
    document = json.loads(series_to_json([replace(series, points=(), partial=(part,))]))
    VALIDATOR.validate(document)
    (told,) = document["series"][0]["partial"]
    assert (told["status"], told["since"]) == ("partial", "2026-07-01T07:00:00Z")
