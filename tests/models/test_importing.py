"""History is brought in as a whole or not at all, says what is wrong by line, and adds up with what was captured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow import recording, reports
from stockandflow.exceptions import HistoryRefused, InvalidInput
from stockandflow.models import ALL, Delivery, FlowRecord, Origin, Watermark
from stockandflow.models import staging as staging_module
from stockandflow.models.staging import PastMove
from stockandflow.periods import Calendar
from stockandflow.registry import registry
from tests.clock import clock_behind
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + number * DAY


@pytest.fixture
def tracker() -> Any:
    return registry.tracker("membership.member")


@pytest.fixture
def plan() -> Plan:
    return Plan.objects.create(name="Basic", monthly_price=9)


def member(plan: Plan, status: str = Status.ACTIVE, *, opened: datetime | None = None) -> Member:
    """One of whose life nothing was captured, and with ``opened`` an opening balance at most."""
    made = Member.objects.create(name="m", email="m@example.org", plan=plan, status=status)
    mine = MemberFlowEvent.objects.filter(subject_id=made.pk)
    if opened is None:
        mine.delete()
    else:
        mine.update(origin=Origin.INITIAL, flow="", timestamp=opened)
    return made


def events(subject: Any = None) -> list[tuple[Any, ...]]:
    found = MemberFlowEvent.objects.order_by("timestamp", "id")
    if subject is not None:
        found = found.filter(subject_id=subject)
    return list(found.values_list("timestamp", "flow", "source", "sink", "origin"))


def refused(tracker: Any, rows: Any, **options: Any) -> list[tuple[int, str]]:
    before = events()
    with pytest.raises(HistoryRefused) as error:
        tracker.import_events(rows, **options)
    assert events() == before
    return list(error.value.problems)


def life(subject: Any) -> list[tuple[Any, ...]]:
    key = getattr(subject, "pk", subject)
    return [(key, day(0), "", "trial"), (key, day(3), "trial", "active")]


class TestWriting:
    """What an import writes."""

    def test_each_row_becomes_an_event_with_its_flow(self, tracker: Any, plan: Plan) -> None:
        one, two = member(plan), member(plan)
        done = tracker.import_events([*life(one), *life(two)])

        assert events(one.pk) == [
            (day(0), "signing-up", "", "trial", "import"),
            (day(3), "converting", "trial", "active", "import"),
        ]
        assert MemberFlowEvent.objects.filter(tracker="membership.member").count() == 4
        assert (done.rows, done.written, done.subjects) == (4, 4, 2)
        assert str(done) == "4 moves of 2 subjects"

    def test_nothing_is_delivered(self, tracker: Any, plan: Plan) -> None:
        tracker.import_events(life(member(plan)))
        assert not Delivery.objects.exists()

    def test_moves_of_one_instant_keep_the_given_order(self, tracker: Any, plan: Plan) -> None:
        key = member(plan).pk
        states = ["", "trial", "active", "paused", "active", "churned", "active"]
        tracker.import_events([(key, day(0), a, b) for a, b in pairwise(states)])

        assert [event[3] for event in events(key)] == states[1:]

    def test_stocks_objects_and_none_may_stand_for_their_slugs(self, tracker: Any, plan: Plan) -> None:
        one = member(plan)
        tracker.import_events([PastMove(one, day(0), None, registry.stock("trial"))])

        assert events(one.pk) == [(day(0), "signing-up", "", "trial", "import")]

    def test_a_move_that_no_flow_covers_is_an_event_with_an_empty_flow(
        self, tracker: Any, plan: Plan
    ) -> None:
        one = member(plan)
        tracker.import_events([(one.pk, day(0), "", "paused")])

        assert events(one.pk)[0][1] == ""

    def test_facets_are_kept_as_they_were(self, tracker: Any, plan: Plan) -> None:
        one = member(plan)
        tracker.import_events([(one.pk, day(0), "", "trial", {"plan": "Old", "country": None})])

        assert MemberFlowEvent.objects.get(subject_id=one.pk).facets == {"plan": "Old", "country": None}

    def test_a_dry_run_checks_and_writes_nothing(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, opened=day(9))
        before = events()
        done = tracker.import_events(life(one), dry_run=True)

        assert (done.written, done.dropped, done.dry_run) == (2, 1, True)
        assert events() == before

    def test_no_rows_are_no_moves(self, tracker: Any) -> None:
        assert str(tracker.import_events([])) == "no moves"

    def test_it_takes_as_many_queries_for_many_subjects_as_for_one(
        self, tracker: Any, plan: Plan, django_assert_max_num_queries: Any
    ) -> None:
        members = [member(plan, opened=day(9)) for _ in range(20)]
        with django_assert_max_num_queries(60):
            tracker.import_events(move for one in members for move in life(one))

    def test_chunks_make_no_difference(
        self, tracker: Any, plan: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(staging_module, "CHUNK", 3)
        members = [member(plan) for _ in range(5)]
        done = tracker.import_events(move for one in members for move in life(one))

        assert done.written == len(events()) == 10


class TestTimestamps:
    """What counts as an instant."""

    def test_naive_values_and_dates_are_of_the_time_zone(self, tracker: Any, plan: Plan) -> None:
        key = member(plan).pk
        rows = [
            (key, date(2025, 3, 1), "", "trial"),
            (key, "2025-03-02", "trial", "active"),
            (key, datetime(2025, 7, 2, 14), "active", "paused"),  # noqa: DTZ001
            (key, "2025-07-02 15:30", "paused", "active"),
            (key, "2025-07-02T15:30:00Z", "active", "churned"),
        ]
        tracker.import_events(rows, timezone="Europe/Berlin")

        assert [event[0].isoformat() for event in events(key)] == [
            "2025-02-28T23:00:00+00:00",
            "2025-03-01T23:00:00+00:00",
            "2025-07-02T12:00:00+00:00",
            "2025-07-02T13:30:00+00:00",
            "2025-07-02T15:30:00+00:00",
        ]

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("2025-03-01", "names no instant without a time zone"),
            (date(2025, 3, 1), "names no instant without a time zone"),
            (datetime(2025, 3, 1), "names no instant without a time zone"),  # noqa: DTZ001
            ("yesterday", "'yesterday' is no timestamp; write ISO 8601"),
            (1740830400, "1740830400 is no timestamp"),
            (None, "None is no timestamp"),
            ("0001-01-01T00:00Z", "must be 1900 to 2200"),
            ("0001-01-01T00:00+14:00", "out of range|must be 1900"),
        ],
    )
    def test_what_names_no_instant_is_refused(self, tracker: Any, plan: Plan, given: Any, says: str) -> None:
        ((line, text),) = refused(tracker, [(member(plan).pk, given, "", "trial")])

        assert line == 1
        assert any(part in text for part in says.split("|"))

    def test_a_time_that_no_clock_showed_is_refused(self, tracker: Any, plan: Plan) -> None:
        rows = [(member(plan).pk, "2025-03-30T02:30", "", "trial")]
        ((_, text),) = refused(tracker, rows, timezone="Europe/Berlin")

        assert "was never shown by the clocks of Europe/Berlin" in text

    def test_the_future_is_no_history(self, tracker: Any, plan: Plan) -> None:
        ((_, text),) = refused(tracker, [(member(plan).pk, timezone.now() + DAY, "", "trial")])
        assert text.endswith("is in the future; history ends now")

    def test_an_unknown_zone_is_refused_before_anything(self, tracker: Any) -> None:
        with pytest.raises(InvalidInput, match="Unknown time zone 'Berlin'"):
            tracker.import_events([], timezone="Berlin")


class TestRefusing:
    """What is wrong is said by line, all at once, and nothing is written."""

    def test_every_problem_is_told_in_the_order_of_the_lines(self, tracker: Any, plan: Plan) -> None:
        one, two = member(plan).pk, member(plan).pk
        rows = [
            (one, day(0), "", "trial"),
            (one, "soon", "trial", "active"),
            ("x", day(0), "", "trial"),
            (987654, day(0), "", "trial"),
            (987654, day(1), "trial", "active"),
            (two, day(0), "", "trail"),
            (two, day(1), "trail", "trail"),
            (two, day(0), "trail", "active"),
            (two, day(2), "paused", "active"),
            "hello",
            (two, day(3), "active", "churned", {"colour": "red"}),
        ]
        problems = refused(tracker, rows)

        assert [line for line, _ in problems] == [2, 3, 4, 6, 7, 8, 9, 10, 11]
        texts = "\n".join(text for _, text in problems)
        for expected in (
            "'soon' is no timestamp",
            "'x' can't be the key of a member, a BigAutoField",
            "there is no member '987654'; for those that are gone, allow_missing_subjects=True, or",
            "'to' is 'trail', which the tracker 'membership.member' doesn't know: 'active', 'churned'",
            "it leads from 'trail' to 'trail', which is no move",
            f"'{two}' goes back in time, from 2025-03-02 12:00:00+00:00 to 2025-03-01 12:00:00+00:00",
            f"'{two}' comes from 'paused' and was in 'active' before; a move is missing between",
            "'hello' is no move; a row is (subject, timestamp, from, to)",
            "events keep no facet 'colour'; those they keep: 'country', 'plan'",
        ):
            assert expected in texts

    def test_the_first_hundred_are_shown_and_how_many_more(self, tracker: Any) -> None:
        with pytest.raises(HistoryRefused) as error:
            tracker.import_events((n, day(0), "", "trial") for n in range(1000, 2500))

        assert error.value.total == 1500
        assert [line for line, _ in error.value.problems] == list(range(1, 101))
        text = str(error.value)
        assert "has 1,500 problems; nothing was written" in text
        assert text.endswith("\n  and 1,400 more")

    def test_the_first_move_comes_from_outside(self, tracker: Any, plan: Plan) -> None:
        ((_, text),) = refused(tracker, [(member(plan).pk, day(0), "trial", "active")])
        assert "comes from 'trial' and was outside before; add the move by which it came there" in text

    def test_a_subject_that_is_gone_is_brought_in_on_request(self, tracker: Any, plan: Plan) -> None:
        gone = member(plan)
        key = gone.pk
        gone.delete()
        MemberFlowEvent.objects.all().delete()

        whole = [*life(key), (key, day(5), "active", "")]
        assert refused(tracker, whole)
        assert tracker.import_events(whole, allow_missing_subjects=True).written == 3
        assert len(events(key)) == 3

    def test_a_subject_that_is_gone_ends_outside(self, tracker: Any, plan: Plan) -> None:
        gone = member(plan)
        key = gone.pk
        gone.delete()
        MemberFlowEvent.objects.all().delete()

        ((line, text),) = refused(tracker, life(key), allow_missing_subjects=True)
        assert line == 2
        assert text == (
            f"the history of '{key}' ends in 'active', and there is no such member; add the move from there to "
            "outside, e.g. when it was deleted"
        )
        assert refused(tracker, life(key), allow_missing_subjects=True, dry_run=True)

        whole = [*life(key), (key, day(5), "active", "")]
        tracker.import_events(whole, allow_missing_subjects=True)
        back = [*whole, (key, day(6), "", "trial")]
        ((line, _),) = refused(tracker, back)
        assert line == 4
        trial = registry.stock("trial")
        assert trial.count(at=day(7)) == trial.count() == 0

    def test_a_subject_that_was_seen_to_go_is_known(self, tracker: Any, plan: Plan) -> None:
        gone = member(plan, opened=day(9))
        key = gone.pk
        gone.delete()

        assert tracker.import_events(life(key)).written == 2

    def test_history_ends_before_what_was_captured(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, opened=day(2))
        ((line, text),) = refused(tracker, life(one))

        assert line == 2
        assert "and its opening balance is at 2025-03-03 12:00:00+00:00; history ends before that" in text

    def test_history_meets_what_was_captured(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, Status.TRIAL)
        Member.objects.filter(pk=one.pk).pause()
        Member.objects.filter(pk=one.pk).update(status=Status.ACTIVE)
        ((line, text),) = refused(tracker, [(one.pk, day(0), "", "paused")])

        assert line == 1
        assert f"the history of '{one.pk}' ends in 'paused', and its first live event, at " in text
        assert "comes from 'trial'; add the move between" in text

        tracker.import_events([(one.pk, day(0), "", "trial")])
        assert [event[3] for event in events(one.pk)] == ["trial", "active"]

    def test_an_error_of_the_source_leaves_nothing(self, tracker: Any, plan: Plan) -> None:
        one = member(plan)

        def rows() -> Iterator[Any]:
            yield from life(one)
            raise RuntimeError("the file ends here")

        with pytest.raises(RuntimeError, match="the file ends here"):
            tracker.import_events(rows())
        assert not events()
        assert tracker.import_events(life(one)).written == 2

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"source": "tri\x00al"}, "doesn't know"),
            ({"sink": "tri\x00al"}, "doesn't know"),
            ({"sink": "\ud800"}, "doesn't know"),
            ({"subject": float("inf")}, "can't be the key"),
            ({"subject": 1.5}, "1.5 can't be the key"),
            ({"subject": True}, "True can't be the key"),
            ({"subject": "1_0"}, "'1_0' can't be the key"),
            ({"facets": {"plan": "a\x00b"}}, "no text column takes"),
            ({"facets": {"plan": "\ud800"}}, "no text column takes"),
            ({"facets": ["plan"]}, "give a dict of facet slug → value"),
            ({"line": "x"}, "'x' is no line"),
            ({"line": 10**30}, "is no line"),
        ],
        ids=repr,
    )
    def test_what_no_database_takes_is_told_as_a_problem_too(
        self, tracker: Any, plan: Plan, changed: dict[str, Any], expected: str
    ) -> None:
        row = PastMove(member(plan).pk, day(0), "", "trial")._replace(**changed)
        problems = refused(tracker, [row], allow_missing_subjects=True)

        assert {line for line, _ in problems} == {1}
        assert any(expected in text for _, text in problems)


class TestAgain:
    """Importing is idempotent by content."""

    def test_the_same_rows_write_nothing(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, opened=day(9))
        tracker.import_events(life(one))
        before = events()
        done = tracker.import_events(life(one))

        assert (done.rows, done.written, done.already_there) == (2, 0, 2)
        assert str(done) == "nothing new: all 2 moves are there already"
        assert events() == before

    def test_moves_alike_at_one_instant_are_counted(self, tracker: Any, plan: Plan) -> None:
        key = member(plan).pk
        rows = [(key, day(0), "", "trial"), (key, day(0), "trial", ""), (key, day(0), "", "trial")]
        tracker.import_events(rows[:1])
        assert tracker.import_events(rows).written == 2
        assert tracker.import_events(rows).written == 0
        assert len(events(key)) == 3

    def test_a_longer_file_adds_only_what_is_new(self, tracker: Any, plan: Plan) -> None:
        one, two = member(plan), member(plan)
        tracker.import_events(life(one)[:1])
        done = tracker.import_events([*life(one), *life(two)])

        assert (done.written, done.already_there, done.subjects) == (3, 1, 2)
        assert str(done) == "3 moves of 2 subjects; 1 were there already"
        assert [event[3] for event in events(one.pk)] == ["trial", "active"]

    def test_a_shorter_file_is_there_already(self, tracker: Any, plan: Plan) -> None:
        one = member(plan)
        tracker.import_events(life(one))
        assert tracker.import_events(life(one)[:1]).written == 0

    def test_rows_that_do_not_fit_between_are_refused(self, tracker: Any, plan: Plan) -> None:
        one = member(plan)
        tracker.import_events(life(one))
        rows = [(one.pk, day(0), "", "trial"), (one.pk, day(1), "trial", "paused")]
        ((line, text),) = refused(tracker, rows)

        assert line == 2
        assert "doesn't fit with the history that is there: at 2025-03-04" in text
        assert "comes from 'trial' and was in 'paused' before" in text


class TestOpeningBalance:
    """An opening balance gives way to the history that leads to it."""

    def test_where_history_ends_in_the_same_stock_it_is_no_longer_needed(
        self, tracker: Any, plan: Plan
    ) -> None:
        one = member(plan, opened=day(9))
        done = tracker.import_events(life(one))

        assert [event[4] for event in events(one.pk)] == ["import", "import"]
        assert (done.dropped, done.turned) == (1, 0)
        assert str(done).endswith("; 1 opening balance gave way to its history")

    def test_a_dry_run_says_what_would_become_of_it(self, tracker: Any, plan: Plan) -> None:
        one, other = member(plan, opened=day(9)), member(plan, opened=day(9))
        done = tracker.import_events([*life(one), (other.pk, day(0), "", "paused")], dry_run=True)

        assert str(done) == (
            "3 moves of 2 subjects; 1 opening balance would give way to its history; "
            "1 opening balance would become a missing move, since history ends elsewhere"
        )

    def test_where_it_ends_elsewhere_it_becomes_the_missing_move(self, tracker: Any, plan: Plan) -> None:
        one, other = member(plan, opened=day(9)), member(plan, opened=day(9))
        live = member(plan, Status.TRIAL)
        Member.objects.filter(pk=live.pk).convert()
        done = tracker.import_events([*life(one)[:1], (live.pk, day(0), "", "trial")])

        assert events(one.pk)[1:] == [(day(9), "converting", "trial", "active", "sweep")]
        assert events(other.pk) == [(day(9), "", "", "active", "initial")]
        assert [event[1] for event in events(live.pk)] == ["signing-up", "converting"]
        assert (done.dropped, done.turned) == (0, 1)
        assert not Delivery.objects.filter(
            event_id__in=MemberFlowEvent.objects.filter(origin="sweep")
        ).exists()

    def test_one_whose_history_ends_outside_comes_from_there(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, opened=day(9))
        done = tracker.import_events([*life(one), (one.pk, day(4), "active", "")])

        assert events(one.pk)[-1] == (day(9), "", "", "active", "sweep")
        assert done.turned == 1

    def test_a_longer_history_closes_the_gap_that_a_shorter_one_left(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, Status.PAUSED, opened=day(9))
        tracker.import_events(life(one)[:1])
        assert events(one.pk)[-1][2:] == ("trial", "paused", "sweep")
        assert tracker.import_events(life(one)[:1]).written == 0

        tracker.import_events(life(one))
        assert events(one.pk)[-1] == (day(9), "pausing", "active", "paused", "sweep")

        done = tracker.import_events([*life(one), (one.pk, day(5), "active", "paused")])
        assert [event[4] for event in events(one.pk)] == ["import"] * 3
        assert done.dropped == 1


class TestRecords:
    """What was recorded before follows."""

    @staticmethod
    def _recorded() -> dict[tuple[str, date], int]:
        with clock_behind(timezone.now() - day(40)):
            recording.record_flows(registry, calendar=Calendar("UTC"))
        rows = FlowRecord.objects.filter(source=ALL, count__gt=0, grain="day")
        return {(row.flow, row.start.date()): row.count for row in rows}

    def test_the_days_that_were_touched_are_computed_by_the_next_recording(
        self, tracker: Any, plan: Plan
    ) -> None:
        one = member(plan, opened=day(9))
        assert self._recorded() == {}
        tracker.import_events(life(one)[:1])
        assert self._recorded() == {
            ("signing-up", day(0).date()): 1,
            ("converting", day(9).date()): 1,
        }

    def test_a_gap_that_was_closed_is_gone_from_the_records(self, tracker: Any, plan: Plan) -> None:
        one = member(plan, opened=day(9))
        tracker.import_events(life(one)[:1])
        self._recorded()
        MemberFlowEvent.objects.update(recorded_at=day(38))
        self._recorded()  # now all of them are behind the watermark
        assert Watermark.objects.get(event_model="membership.memberflowevent").event_id > 0

        tracker.import_events(life(one))
        assert self._recorded() == {
            ("signing-up", day(0).date()): 1,
            ("converting", day(3).date()): 1,
        }
        assert Watermark.objects.get(event_model="membership.memberflowevent").anew_since is None

    def test_the_balance_of_the_past_adds_up(self, tracker: Any, plan: Plan) -> None:
        for number in range(6):
            one = member(plan, Status.ACTIVE if number % 2 else Status.PAUSED, opened=day(9))
            more = [] if number % 2 else [(one.pk, day(5), "active", "paused")]
            tracker.import_events([*life(one), *more])

        process = registry.process("membership")
        for since, until in (
            (day(-1), day(1)),
            (day(1), day(6)),
            (day(6), day(20)),
            (day(2), timezone.now()),
        ):
            lines = reports.balance(process, since, until).stocks
            assert all(line.unexplained == 0 for line in lines), (since, until)
        trial, active, paused = reports.balance(process, day(1), day(6)).stocks[:3]
        assert (trial.opening, trial.closing) == (6, 0)
        assert (active.opening, active.inflow, active.outflow, active.closing) == (0, 6, 3, 3)
        assert (paused.inflow, paused.closing) == (3, 3)


def test_temporary_tables_are_gone_afterwards(tracker: Any, plan: Plan) -> None:
    tracker.import_events(life(member(plan)))
    refused(tracker, [("x", day(0), "", "trial")])
    with connection.cursor() as cursor:
        for table in ("sf_history", "sf_history_meetings"):
            if connection.vendor == "mysql":
                cursor.execute(f"CREATE TEMPORARY TABLE {table} (a int)")
                cursor.execute(f"DROP TEMPORARY TABLE {table}")
            else:
                cursor.execute(f"CREATE TEMPORARY TABLE {table} (a int)")
                cursor.execute(f"DROP TABLE {table}")


@pytest.mark.django_db(transaction=True)
def test_two_imports_of_one_file_at_a_time_write_it_once(tracker: Any, plan: Plan) -> None:
    rows = [move for one in [member(plan) for _ in range(20)] for move in life(one)]
    done: list[int] = []

    def bring_in() -> None:
        done.append(tracker.import_events(rows).written)

    side_by_side(bring_in, bring_in)

    assert sorted(done) == [0, 40]
    assert len(events()) == 40
