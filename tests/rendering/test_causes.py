"""The causes of what is unexplained, as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stockandflow.capture import Audit, Between, Method, MissingMove, Named, Skipped
from stockandflow.registry import registry
from stockandflow.rendering import Signs
from stockandflow.rendering.causes import causes_text
from stockandflow.reports import Causes, Watched, Window
from tests.rendering.balances import LONDON

TRIAL = registry.stock("trial")
AUDIT = Audit("membership.member", "default")
WATCHED = Watched(
    registry.tracker("membership.member"),
    Method("triggers"),
    ("TRUNCATE", "what is written inside capture.suspended()"),
    AUDIT,
)
CAUSES = Causes(
    stocks=(TRIAL, registry.stock("active")),
    windows=(
        Window(TRIAL, datetime(2026, 7, 1, 9, tzinfo=UTC), datetime(2026, 7, 1, 10, tzinfo=UTC), 12, 9, 1),
    ),
    watched=(WATCHED,),
)


def text(causes: Causes, **options: object) -> list[str]:
    return causes_text(causes, LONDON, **options).splitlines()  # type: ignore[arg-type]


def test_it_says_when_and_what_the_capture_cannot_see() -> None:
    assert text(CAUSES) == [
        "Where it comes from",
        "Trial: −4 between the counts of 1 Jul 2026, 10:00 and 1 Jul 2026, 11:00.",
        "No move is missing by now: what was missed has been written since, or undone.",
        "membership.member is captured by triggers, which can't see: TRUNCATE; what is",
        "  written inside capture.suspended().",
    ]


def test_two_counts_of_one_minute_are_told_with_their_seconds() -> None:
    since, until = (datetime(2026, 7, 1, 9, 30, second, tzinfo=UTC) for second in (0, 7))
    assert text(replace(CAUSES, windows=(Window(TRIAL, since, until, 12, 9, 1),)), width=100)[1] == (
        "Trial: −4 between the counts of 1 Jul 2026, 10:30:00 and 1 Jul 2026, 10:30:07."
    )


def test_it_names_some_objects_with_where_their_events_and_rows_have_them_and_the_cure() -> None:
    audit = replace(
        AUDIT,
        missing=(
            MissingMove("", "trial", "", 1, (Named("7"),)),
            MissingMove("converting", "trial", "active", 1200, (Named("8", "Ann"), Named("9", "Bo"))),
            MissingMove("pausing", "paused", "churned", 5, ()),
        ),
        skipped=(Skipped("converting", "trial", "active", 1, 0, (Between("4", "Cy"),)),),
    )
    assert text(replace(CAUSES, watched=(replace(WATCHED, audit=audit),)), width=100)[2:6] == [
        "Missing by now: 1 move from Trial to outside, of 7.",
        "Missing by now: 1,200 moves from Trial to Active, of 8 Ann, 9 Bo, and 1,198 more.",
        "Missed before a later one: 1 move from Trial to Active, of 4 Cy.",
        "Run 'manage.py stockandflow sweep', which writes the missing moves.",
    ]


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        (replace(AUDIT, opened=False), "isn't opened yet: objects without events are its opening balance."),
        (
            replace(AUDIT, left_out="its triggers wait"),
            "membership.member was left out, since its triggers wait.",
        ),
    ],
)
def test_it_says_where_the_audit_tells_less(audit: Audit, words: str) -> None:
    told = "\n".join(text(replace(CAUSES, watched=(replace(WATCHED, audit=audit),)), width=200))
    assert words in told
    assert ("No move is missing" in told) is not audit.left_out.startswith("its")


def test_it_does_with_ascii() -> None:
    told = causes_text(CAUSES, LONDON, signs=Signs.ascii())
    assert told.isascii()
    assert "Trial: -4 between" in told
