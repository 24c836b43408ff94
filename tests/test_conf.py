"""Settings: what holds when nothing is set, and what is told when something is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stockandflow.checks import check_declarations
from stockandflow.conf import NAMES, Conf, conf, given
from stockandflow.exceptions import DeclarationError
from stockandflow.periodic import Schedule, built_in
from stockandflow.periods import Calendar
from stockandflow.registry import Registry


def test_nothing_has_to_be_set(settings: Any) -> None:
    del settings.STOCKANDFLOW
    settings.TIME_ZONE = "Europe/Amsterdam"
    assert given() == {}
    assert conf() == Conf(
        time_zone="Europe/Amsterdam",
        week_start=0,
        year_start_month=1,
        record_frequency="hourly",
        sweep_frequency="hourly",
        deliver_frequency="minutely",
    )
    assert Calendar.default() == Calendar("Europe/Amsterdam", 0, 1)
    assert check_declarations(registry=Registry()) == []


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_may_be_written_out(settings: Any, nothing: Any) -> None:
    settings.STOCKANDFLOW = nothing
    assert given() == {}
    assert conf().week_start == 0


def test_without_any_time_zone_days_begin_in_utc(settings: Any) -> None:
    settings.STOCKANDFLOW = {}
    settings.TIME_ZONE = None
    assert conf().time_zone == "UTC"


def test_every_setting_can_be_set_and_is_read_at_use(settings: Any) -> None:
    assert NAMES == (
        "TIME_ZONE",
        "WEEK_START",
        "YEAR_START_MONTH",
        "ALLOWED_LATENESS",
        "RETENTION",
        "RECORD_FREQUENCY",
        "SWEEP_FREQUENCY",
        "DELIVER_FREQUENCY",
        "QUEUE",
        "SCOPE",
        "EMBED_ORIGINS",
        "MIN_CELL",
    )
    wanted: tuple[Any, ...] = (
        *("Asia/Tokyo", 6, 4, timedelta(days=2)),
        {"events": timedelta(days=900)},
        *("daily", "weekly", "never", "celery", "builtins.max"),
        ["https://wiki.example.org"],
        5,
    )
    settings.STOCKANDFLOW = dict(zip(NAMES, wanted, strict=True))
    assert conf() == Conf(*wanted)
    assert Calendar.default() == Calendar("Asia/Tokyo", 6, 4)
    settings.STOCKANDFLOW = {"WEEK_START": 5}
    assert conf().week_start == 5


@pytest.mark.parametrize("key", ["WEEKSTART", "week_start", 7])
def test_an_unknown_key_is_told_and_changes_nothing(settings: Any, key: Any) -> None:
    settings.STOCKANDFLOW = {key: 3, "YEAR_START_MONTH": 4}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E020"
    assert f"STOCKANDFLOW[{key!r}]" in message.msg
    assert "WEEK_START" in str(message.hint)
    assert (conf().week_start, conf().year_start_month) == (0, 4)


def test_unknown_keys_of_any_type_are_told_together(settings: Any) -> None:
    settings.STOCKANDFLOW = {"WEEKSTART": 3, 7: 3, None: 3}
    messages = check_declarations(registry=Registry())
    assert [message.id for message in messages] == ["stockandflow.E020"] * 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TIME_ZONE", "Europe/Atlantis"),
        ("TIME_ZONE", 1),
        ("TIME_ZONE", ["UTC"]),
        ("TIME_ZONE", ""),
        ("WEEK_START", 7),
        ("WEEK_START", "monday"),
        ("WEEK_START", None),
        ("YEAR_START_MONTH", 0),
        ("YEAR_START_MONTH", "april"),
        ("ALLOWED_LATENESS", timedelta(days=-1)),
        ("ALLOWED_LATENESS", 3600),
        ("RETENTION", timedelta(days=90)),
        ("RETENTION", {"events": 90, "records": 90}),
    ],
)
def test_a_setting_of_time_that_cannot_be_used_is_told(settings: Any, key: str, value: Any) -> None:
    settings.STOCKANDFLOW = {key: value}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E021"
    assert repr(value) in message.msg
    assert message.hint


@pytest.mark.parametrize("value", ["rabbits", 3])
def test_a_queue_that_is_none_is_told(settings: Any, value: Any) -> None:
    settings.STOCKANDFLOW = {"QUEUE": value}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E027"
    assert repr(value) in message.msg
    assert "'celery', 'tasks'" in (message.hint or "")


def test_a_queue_that_is_not_installed_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stockandflow.conf.find_spec", lambda _: None)
    settings.STOCKANDFLOW = {"QUEUE": "celery"}
    (message,) = check_declarations(registry=Registry())
    assert "[celery]" in (message.hint or "")
    settings.STOCKANDFLOW = {"QUEUE": "tasks"}
    (message,) = check_declarations(registry=Registry())
    assert "django-tasks" in (message.hint or "")


@pytest.mark.parametrize(
    "value", ["example.nowhere.scope", "scope", "sys.version", "tests.test_conf.gone", 3]
)
def test_a_scope_that_is_no_function_is_told(settings: Any, value: Any) -> None:
    settings.STOCKANDFLOW = {"SCOPE": value}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E029"
    assert repr(value) in message.msg
    assert "Write the dotted path of a function of (request, queryset)" in message.msg


@pytest.mark.parametrize(
    "value",
    ["https://example.org", ["example.org"], ["https://example.org/wiki"], ["*"], [None], ["https://a; b"]],
)
def test_an_origin_that_is_none_is_told(settings: Any, value: Any) -> None:
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": value}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E030"
    assert repr(value if isinstance(value, str) else value[0]) in message.msg
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ["'self'", "https://*.example.org:8000", "http://wiki"]}
    assert check_declarations(registry=Registry()) == []


@pytest.mark.parametrize("value", [1, 0, -5, True, 5.0, "5", [5]])
def test_a_size_that_hides_nothing_is_told(settings: Any, value: Any) -> None:
    settings.STOCKANDFLOW = {"MIN_CELL": value}
    (message,) = check_declarations(registry=Registry())
    assert message.id == "stockandflow.E031"
    assert f"STOCKANDFLOW['MIN_CELL'] is {value!r}" in message.msg
    for right in (2, 5, None):
        settings.STOCKANDFLOW = {"MIN_CELL": right}
        assert check_declarations(registry=Registry()) == []


@pytest.mark.parametrize("key", ["RECORD_FREQUENCY", "SWEEP_FREQUENCY", "DELIVER_FREQUENCY"])
def test_an_unknown_frequency_stops_the_project_at_its_start(settings: Any, key: str) -> None:
    settings.STOCKANDFLOW = {key: "fortnightly"}
    with pytest.raises(DeclarationError, match=rf"{key}.*'fortnightly'.*'hourly'"):
        built_in(Schedule(), Registry())


@pytest.mark.parametrize("value", ["Europe/London", [("WEEK_START", 1)], 5])
def test_settings_that_are_no_dictionary_stop_the_project_at_its_start(settings: Any, value: Any) -> None:
    settings.STOCKANDFLOW = value
    with pytest.raises(DeclarationError, match=r"STOCKANDFLOW is .*; write a dictionary") as raised:
        built_in(Schedule(), Registry())
    assert repr(value) in str(raised.value)
