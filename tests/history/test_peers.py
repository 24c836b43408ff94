"""What other packages and the subjects' own columns tell of the past becomes history, for real versions of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_fsm_log.models import StateLog

from stockandflow.declarations import Facet, Flow, ModelTracker, Stock
from stockandflow.exceptions import HistoryRefused, InvalidInput
from stockandflow.history import from_columns, from_fsm_log, from_pghistory, from_simple_history
from stockandflow.models import Origin
from stockandflow.registry import Registry
from tests.history.peers import models as peers

pytestmark = pytest.mark.django_db

# Without the packages, the type checker doesn't know these for models.
Claim: Any = peers.Claim
ClaimFlowEvent: Any = peers.ClaimFlowEvent
Contract: Any = peers.Contract
ContractFlowEvent: Any = peers.ContractFlowEvent

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def tracker_of(model: Any, events: Any, *states: str, **options: Any) -> ModelTracker:
    stocks = [Stock(state, state, model.objects.filter(state=state), **options) for state in states]
    tracker = ModelTracker(stocks=stocks, flows=Flow.for_stocks(events, stocks))
    Registry().register(tracker)
    return tracker


def moves(tracker: ModelTracker, subject: Any = None) -> list[tuple[Any, ...]]:
    found: Any = tracker.events._default_manager.filter(tracker=tracker.slug).order_by("timestamp", "id")
    if subject is not None:
        found = found.filter(subject_id=subject)
    return [
        ((at - START).total_seconds() / 86400, *rest)
        for at, *rest in found.values_list("timestamp", "source", "sink")
    ]


class TestSimpleHistory:
    """django-simple-history keeps a version of the object for each save()."""

    size = Facet("size", "Size", "size")

    @pytest.fixture
    def contracts(self) -> ModelTracker:
        return tracker_of(Contract, ContractFlowEvent, "draft", "running", "ended", facets=[self.size])

    def live(self, *states: str, size: int = 1) -> Any:
        contract = Contract(size=size)
        for number, state in enumerate(states):
            contract.state = state
            contract._history_date = day(number)
            contract.save()
        return contract

    def test_versions_become_moves(self, contracts: ModelTracker) -> None:
        one, two = self.live("draft", "draft", "running", "lost", "ended"), self.live("running")
        done = contracts.import_events(from_simple_history(contracts))

        assert done.written == 5
        assert moves(contracts, one.pk) == [
            (0, "", "draft"),
            (2, "draft", "running"),
            (3, "running", ""),
            (4, "", "ended"),
        ]
        assert moves(contracts, two.pk) == [(0, "", "running")]
        assert contracts.import_events(from_simple_history(contracts)).written == 0

    def test_facets_on_its_own_columns_are_kept_as_they_were(self, contracts: ModelTracker) -> None:
        one = self.live("draft", size=7)
        Contract.objects.filter(pk=one.pk).update(size=8)
        contracts.import_events(from_simple_history(contracts))

        assert ContractFlowEvent.objects.get().facets == {"size": "7"}

    def test_a_deletion_leads_outside(self, contracts: ModelTracker) -> None:
        one = self.live("draft")
        key = one.pk
        one._history_date = day(5)
        one.delete()

        with pytest.raises(HistoryRefused):
            contracts.import_events(from_simple_history(contracts))
        contracts.import_events(from_simple_history(contracts), allow_missing_subjects=True)
        assert moves(contracts, key) == [(0, "", "draft"), (5, "draft", "")]

    def test_versions_of_one_instant_keep_their_order(self, contracts: ModelTracker) -> None:
        one = self.live("draft", "running", "draft", "ended")
        one.history.update(history_date=day(1))
        contracts.import_events(from_simple_history(contracts))

        assert [sink for _, _, sink in moves(contracts)] == ["draft", "running", "draft", "ended"]

    def test_it_ends_where_capture_began(self, contracts: ModelTracker) -> None:
        one = self.live("draft", "running", "ended")
        ContractFlowEvent.objects.create(
            tracker=contracts.slug,
            origin=Origin.INITIAL,
            sink="running",
            subject_id=one.pk,
            timestamp=day(1.5),
            recorded_at=day(1.5),
        )
        done = contracts.import_events(from_simple_history(contracts))

        assert moves(contracts) == [(0, "", "draft"), (1, "draft", "running")]
        assert done.dropped == 1
        assert [move.sink for move in from_simple_history(contracts, until=day(0.5))] == ["draft"]

    def test_the_database_finds_the_moves(self, contracts: ModelTracker) -> None:
        self.live(*["draft"] * 30, "running")
        with CaptureQueriesContext(connection) as queries:
            assert len(list(from_simple_history(contracts))) == 2
        assert len(queries) <= 3  # a server-side cursor may be opened and closed

    def test_what_one_version_cannot_tell_is_refused(self, contracts: ModelTracker) -> None:
        elsewhere = Stock("there", "There", Contract.objects.filter(region="north"))
        tracker = ModelTracker(stocks=[elsewhere], event_model=ContractFlowEvent, slug="regions")
        with pytest.raises(
            InvalidInput, match=r"it reads region, which peers.HistoricalContract doesn't keep"
        ):
            list(from_simple_history(tracker))

        by_function = ModelTracker(
            ["state"], lambda before, now: ((), ()), contracts.stocks, contracts.flows, slug="function"
        )
        with pytest.raises(InvalidInput, match="come from a Python function"):
            list(from_simple_history(by_function))

        with pytest.raises(InvalidInput, match="has no HistoricalRecords"):
            list(from_simple_history(tracker_of(Claim, ClaimFlowEvent, "open")))


class TestColumns:
    """Columns that say when something happened."""

    @pytest.fixture
    def contracts(self) -> ModelTracker:
        return tracker_of(Contract, ContractFlowEvent, "draft", "running", "ended")

    def test_they_count_in_the_order_of_their_times(self, contracts: ModelTracker) -> None:
        _, running, ended = contracts.stocks
        one = Contract.objects.create(signed_at=day(1), ended_at=day(3))
        two = Contract.objects.create(signed_at=day(2), ended_at=day(1))
        Contract.objects.create()
        columns = {"signed_at": running, "ended_at": ended}
        assert contracts.import_events(from_columns(contracts, columns)).subjects == 2

        assert moves(contracts, one.pk) == [(1, "", "running"), (3, "running", "ended")]
        assert moves(contracts, two.pk) == [(1, "", "ended"), (2, "ended", "running")]

    def test_at_one_time_in_the_order_given(self, contracts: ModelTracker) -> None:
        one = Contract.objects.create(signed_at=day(1), ended_at=day(1))
        contracts.import_events(from_columns(contracts, {"signed_at": "running", "ended_at": None}))

        assert moves(contracts, one.pk) == [(1, "", "running"), (1, "running", "")]

    def test_what_is_to_come_is_left_out(self, contracts: ModelTracker) -> None:
        Contract.objects.create(signed_at=day(1), ended_at=datetime(2190, 1, 1, tzinfo=UTC))
        found = list(from_columns(contracts, {"signed_at": "running", "ended_at": "ended"}))

        assert [move.sink for move in found] == ["running"]

    def test_dates_are_of_the_time_zone(self, contracts: ModelTracker) -> None:
        Contract.objects.create(signed_on=date(2025, 3, 2))
        contracts.import_events(from_columns(contracts, {"signed_on": "running"}), timezone="Europe/Berlin")

        (event,) = ContractFlowEvent.objects.all()
        assert event.timestamp.isoformat() == "2025-03-01T23:00:00+00:00"

    @pytest.mark.parametrize(
        ("columns", "says"),
        [
            (
                {"paid_at": "ended"},
                "has no column 'paid_at'; those that hold times are signed_at, ended_at, signed_on",
            ),
            ({"state": "ended"}, "peers.Contract.state is a CharField; name a DateTimeField or DateField"),
            ({"signed_at": "ended", "signed_on": "ended"}, "all DateTimeFields or all DateFields"),
            ({}, "The columns are none; name at least one"),
            (
                {"signed_at": "run"},
                "'signed_at' leads to 'run', which the tracker .* doesn't know: 'draft', 'ended'",
            ),
        ],
    )
    def test_other_columns_are_refused(
        self, contracts: ModelTracker, columns: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(InvalidInput, match=says):
            list(from_columns(contracts, columns))


class TestFsmLog:
    """django-fsm-log keeps each transition of a django-fsm-2 field."""

    @pytest.fixture
    def claims(self) -> ModelTracker:
        return tracker_of(Claim, ClaimFlowEvent, "open", "accepted", "paid")

    def live(self, *transitions: str) -> Any:
        claim = Claim.objects.create(opened_at=day(0))
        for number, name in enumerate(transitions, 1):
            getattr(claim, name)()
            claim.save()
            log = StateLog.objects.latest("pk")
            StateLog.objects.filter(pk=log.pk).update(timestamp=day(number))
        return claim

    def test_transitions_become_moves(self, claims: ModelTracker) -> None:
        one, two = self.live("accept", "pay"), self.live()
        assert claims.import_events(from_fsm_log(claims, created="opened_at")).written == 4

        assert moves(claims, one.pk) == [(0, "", "open"), (1, "open", "accepted"), (2, "accepted", "paid")]
        assert moves(claims, two.pk) == [(0, "", "open")]

    def test_without_a_creation_an_object_comes_by_its_first_transition(self, claims: ModelTracker) -> None:
        one = self.live("accept", "pay")
        claims.import_events(from_fsm_log(claims))

        assert moves(claims, one.pk) == [(1, "", "accepted"), (2, "accepted", "paid")]

    def test_one_that_is_gone_comes_by_its_first_transition(self, claims: ModelTracker) -> None:
        one = self.live("accept")
        key = one.pk
        Claim.objects.filter(pk=key)._raw_delete("default")
        logged = list(from_fsm_log(claims, created="opened_at"))
        with pytest.raises(HistoryRefused, match="ends in 'accepted', and there is no such claim"):
            claims.import_events(logged, allow_missing_subjects=True)
        claims.import_events([*logged, (key, day(2), "accepted", "")], allow_missing_subjects=True)

        assert moves(claims, key) == [(1, "", "accepted"), (2, "accepted", "")]

    def test_a_change_without_a_transition_shows_with_the_next(self, claims: ModelTracker) -> None:
        one = self.live()
        Claim.objects.filter(pk=one.pk).update(state="accepted")
        claim = Claim.objects.get(pk=one.pk)
        claim.pay()
        claim.save()
        StateLog.objects.update(timestamp=day(3), source_state="lost")
        claims.import_events(from_fsm_log(claims, created="opened_at", until=day(5)))

        assert moves(claims, one.pk) == [(3, "", "paid")]

    def test_it_ends_where_capture_began(self, claims: ModelTracker) -> None:
        self.live("accept", "pay")
        found = [
            (move.source, move.sink) for move in from_fsm_log(claims, created="opened_at", until=day(1.5))
        ]

        assert found == [("", "open"), ("open", "accepted")]

    def test_stocks_that_ask_for_more_than_the_state_are_refused(self) -> None:
        late = Stock("late", "Late", Claim.objects.filter(state="open", opened_at__lt=day(0)))
        tracker = ModelTracker(stocks=[late], event_model=ClaimFlowEvent)
        with pytest.raises(
            InvalidInput, match="look at opened_at, state; a log of states tells them only where"
        ):
            list(from_fsm_log(tracker))
        of_logs = Stock("of", "Of", Claim.objects.filter(pk__in=Claim.objects.values("pk")))
        with pytest.raises(
            InvalidInput, match="'of' can't be told from a logged state: it contains a subquery"
        ):
            list(from_fsm_log(ModelTracker(stocks=[of_logs], event_model=ClaimFlowEvent)))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="django-pghistory is for PostgreSQL alone")
class TestPghistory:
    """django-pghistory keeps a version for each change of a row, by triggers."""

    @pytest.fixture
    def loans(self) -> ModelTracker:
        call_command("pgtrigger", "install", verbosity=0)
        return tracker_of(peers.Loan, peers.LoanFlowEvent, "open", "paid")

    def test_versions_become_moves(self, loans: ModelTracker) -> None:
        model: Any = loans.model
        one, gone = model.objects.create(), model.objects.create()
        model.objects.filter(pk=one.pk).update(state="paid")
        key = gone.pk
        gone.delete()
        for number, event in enumerate(model.pgh_event_model.objects.order_by("pgh_id")):
            model.pgh_event_model.objects.filter(pk=event.pk).update(pgh_created_at=day(number))
        done = loans.import_events(from_pghistory(loans), allow_missing_subjects=True)

        assert done.written == 4
        assert moves(loans, one.pk) == [(0, "", "open"), (2, "open", "paid")]
        assert moves(loans, key) == [(1, "", "open"), (3, "open", "")]

    def test_versions_of_one_transaction_keep_their_order(self, loans: ModelTracker) -> None:
        model: Any = loans.model
        one = model.objects.create()
        for state in ("paid", "open", "paid"):
            model.objects.filter(pk=one.pk).update(state=state)
        loans.import_events(from_pghistory(loans))

        assert [sink for _, _, sink in moves(loans)] == ["open", "paid", "open", "paid"]


def test_a_model_without_event_models_is_told() -> None:
    tracker = tracker_of(Claim, ClaimFlowEvent, "open")
    with pytest.raises(
        InvalidInput, match=r"peers.Claim has no event models of django-pghistory; pass the one"
    ):
        list(from_pghistory(tracker))
