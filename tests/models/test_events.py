"""Flow events: what one says, how it is written by hand, and that it outlives its subject."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.db.migrations.writer import MigrationWriter
from django.db.models import Count, Prefetch
from django.test.utils import CaptureQueriesContext, isolate_apps

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.exceptions import InvalidInput
from stockandflow.models import Delivery, FlowEvent, Origin, SubjectForeignKey
from stockandflow.models.clock import database_now
from stockandflow.models.events import facet_values
from stockandflow.registry import registry
from tests.testapp.models import Item, ItemFlowEvent, SpecialItem

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture
def member() -> Member:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    return Member.objects.create(name="Ada", email="ada@example.org", plan=plan, country="GB")


@pytest.fixture
def gone(member: Member) -> int:
    """The key of a member who came and went."""
    pk = member.pk
    member.delete()
    return pk


class TestSubject:
    """The key of the object that moved, which may be gone."""

    def test_it_is_the_object(self, member: Member) -> None:
        event = MemberFlowEvent.objects.get()

        assert event.subject == member
        assert MemberFlowEvent.objects.filter(subject=member, subject__plan__name="Basic").get() == event

    def test_it_is_none_once_the_object_is_gone(self, gone: int) -> None:
        for event in MemberFlowEvent.objects.all():
            assert event.subject is None
            assert event.subject_id == gone

    def test_one_index_finds_the_last_event_of_a_subject(self) -> None:
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, MemberFlowEvent._meta.db_table)
        of_subject = [
            name for name, one in found.items() if one["index"] and one["columns"][0] == "subject_id"
        ]

        assert of_subject == [index.name for index in MemberFlowEvent._meta.indexes]
        assert [index.fields for index in MemberFlowEvent._meta.indexes] == [["subject", "timestamp", "id"]]
        assert found[of_subject[0]]["columns"] == ["subject_id", "timestamp", "id"]
        assert len(of_subject[0]) <= 30

    def test_reading_it_together_loses_no_event(self, gone: int) -> None:
        with CaptureQueriesContext(connection) as queries:
            subjects = [event.subject for event in MemberFlowEvent.objects.select_related("subject__plan")]

        assert subjects == [None, None]
        assert len(queries) == 1

    def test_fetching_it_ahead_loses_no_event(self, member: Member) -> None:
        other = Member.objects.create(name="Bob", email="bob@example.org", plan=member.plan)
        other.delete()
        events = MemberFlowEvent.objects.order_by("pk").prefetch_related(
            Prefetch("subject", Member.objects.select_related("plan"))
        )

        assert [event.subject for event in events] == [member, None, None]

    def test_a_row_that_goes_round_the_orm_leaves_its_events(self, member: Member) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM membership_member")

        assert MemberFlowEvent.objects.count() == 2

    def test_deleting_it_asks_the_events_nothing(self, member: Member) -> None:
        with CaptureQueriesContext(connection) as queries:
            member.delete()

        own = [query["sql"] for query in queries if "memberflowevent" in query["sql"].lower()]
        assert [sql for sql in own if sql.startswith(("DELETE", "UPDATE"))] == []

    def test_events_can_be_counted_by_it(self, gone: int) -> None:
        found = MemberFlowEvent.objects.order_by().values("subject").annotate(n=Count("pk"))

        assert list(found) == [{"subject": gone, "n": 2}]

    def test_it_can_be_given_as_an_object(self, member: Member) -> None:
        event = MemberFlowEvent(subject=member)

        assert event.subject_id == member.pk
        assert MemberFlowEvent().subject is None

    def test_migrations_hold_only_what_the_project_says(self) -> None:
        _, path, args, kwargs = MemberFlowEvent._meta.get_field("subject").deconstruct()

        assert path == "stockandflow.models.events.SubjectForeignKey"
        assert args == []
        assert kwargs == {"to": "membership.member", "related_name": "+"}
        again: Any = SubjectForeignKey(**kwargs)
        assert again.remote_field.on_delete is models.DO_NOTHING
        assert (again.db_constraint, again.null, again.blank) == (False, True, False)

    @isolate_apps("tests.testapp")
    def test_the_model_may_be_named_and_reached_back(self) -> None:
        class Thing(models.Model):  # noqa: DJ008
            class Meta:
                app_label = "testapp"

        class ThingEvent(FlowEvent):
            subject = SubjectForeignKey("testapp.Thing", related_name="history")

            class Meta:
                app_label = "testapp"

        assert ThingEvent._meta.get_field("subject").related_model is Thing
        assert Thing._meta.get_field("history").related_model is ThingEvent


class TestRecordMove:
    """Events written by hand: what a function tracker and ``flow.add_event`` do."""

    def test_it_writes_all_that_a_trigger_writes(self, member: Member) -> None:
        flow = registry.flow("cancelling")
        before = database_now("default")
        event = MemberFlowEvent.record_move(flow, member, "active", "churned", tracker="membership.member")

        again = MemberFlowEvent.objects.get(pk=event.pk)
        assert (again.flow, again.source, again.sink) == ("cancelling", "active", "churned")
        assert (again.tracker, again.origin) == ("membership.member", Origin.LIVE)
        assert again.facets == {"plan": "Basic", "country": "GB"}
        assert again.subject == member
        assert before <= again.timestamp == again.recorded_at <= database_now("default")

    def test_it_may_have_happened_earlier(self, member: Member) -> None:
        event = MemberFlowEvent.record_move(None, member, "", "active", AT)
        event.refresh_from_db()

        assert event.timestamp == AT
        assert event.recorded_at > AT
        assert (event.flow, event.facets) == ("", {})

    def test_a_naive_timestamp_is_refused(self, member: Member) -> None:
        with pytest.raises(InvalidInput, match="timestamp"):
            MemberFlowEvent.record_move(None, member, "", "active", AT.replace(tzinfo=None))

    def test_a_year_that_recordings_cannot_reach_is_refused(self, member: Member) -> None:
        with pytest.raises(InvalidInput, match="its year must be 1900 to 2200"):
            MemberFlowEvent.record_move(None, member, "", "active", datetime.max.replace(tzinfo=UTC))

    @pytest.mark.parametrize("subject", [Member(), Member(pk=1), Member(name="Ada"), Plan(pk=1)], ids=repr)
    def test_what_cannot_flow_here_is_refused(self, subject: Any) -> None:
        with pytest.raises(
            InvalidInput, match=r"MemberFlowEvent holds moves of saved membership\.Member objects"
        ):
            MemberFlowEvent.record_move(None, subject, "", "active")

    def test_a_proxys_object_flows_as_its_model(self) -> None:
        proxy = SpecialItem.objects.create()
        ItemFlowEvent.record_move(None, proxy, "", "somewhere")

        assert ItemFlowEvent.objects.get().subject_id == proxy.pk

    def test_a_flow_with_callables_gets_its_delivery_with_it(self, member: Member) -> None:
        event = MemberFlowEvent.record_move(registry.flow("converting"), member, "trial", "active")

        delivery = Delivery.objects.get()
        assert (delivery.event_model, delivery.event_id, delivery.flow) == (
            "membership.memberflowevent",
            event.pk,
            "converting",
        )
        assert (delivery.status, delivery.due_at) == (Delivery.Status.PENDING, event.recorded_at)

    def test_without_its_delivery_there_is_no_event(
        self, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        count = MemberFlowEvent.objects.count()
        monkeypatch.setattr(Delivery._meta, "db_table", "nowhere")
        with pytest.raises(DatabaseError), transaction.atomic():
            MemberFlowEvent.record_move(registry.flow("converting"), member, "trial", "active")
        monkeypatch.undo()

        assert MemberFlowEvent.objects.count() == count

    def test_the_database_is_asked_four_times_at_most(self, member: Member) -> None:
        with CaptureQueriesContext(connection) as queries:
            MemberFlowEvent.record_move(registry.flow("converting"), member, "trial", "active")

        asked = [query for query in queries if "SAVEPOINT" not in query["sql"]]
        assert len(asked) == 4

    def test_add_event_takes_stocks(self, member: Member) -> None:
        event = registry.flow("cancelling").add_event(
            member, registry.stock("active"), registry.stock("churned"), timestamp=AT
        )

        assert event is not None
        assert (event.source, event.sink, event.timestamp) == ("active", "churned", AT)
        assert registry.flow("cancelling").add_event(member, registry.stock("trial"), None) is None


class TestFacetValues:
    """The facet values of an object, as text."""

    def test_they_are_read_from_the_row_not_from_the_instance(self, member: Member) -> None:
        member.country = "FR"
        facets = registry.tracker("membership.member").applied_facets
        with CaptureQueriesContext(connection) as queries:
            assert facet_values(member, facets, "default") == {"plan": "Basic", "country": "GB"}

        assert len(queries) == 1

    def test_without_a_row_there_are_none(self, gone: int) -> None:
        facets = registry.tracker("membership.member").applied_facets

        assert facet_values(Member(pk=gone), facets, "default") == {}

    def test_without_facets_nothing_is_asked(self, member: Member) -> None:
        with CaptureQueriesContext(connection) as queries:
            assert facet_values(member, {}, "default") == {}

        assert len(queries) == 0


def test_the_newest_event_comes_first_and_is_the_latest(member: Member) -> None:
    Member.objects.update(status=Status.ACTIVE)
    Member.objects.update(status=Status.PAUSED)
    MemberFlowEvent.record_move(None, member, "", "active", database_now("default") - timedelta(days=1))

    assert [event.sink for event in MemberFlowEvent.objects.all()] == ["paused", "active", "trial", "active"]
    assert MemberFlowEvent.objects.latest().sink == "paused"
    assert MemberFlowEvent.objects.earliest().sink == "active"


def test_an_event_reads_as_a_sentence() -> None:
    event = MemberFlowEvent(subject_id=7, flow="converting", source="trial", sink="active")

    assert str(event) == "converting: 7 from trial to active"
    assert str(MemberFlowEvent(subject_id=7)) == "other: 7 from outside to outside"


@isolate_apps("tests.testapp")
def test_the_index_comes_with_those_of_the_project_and_isnt_made_twice() -> None:
    mine = models.Index(fields=["flow"], name="mine")

    class Kind(FlowEvent):
        subject = SubjectForeignKey(Item)

        class Meta:
            app_label = "testapp"
            abstract = True
            indexes = (mine,)

    class First(Kind):
        class Meta(Kind.Meta):
            app_label = "testapp"

    class Second(FlowEvent):
        subject = SubjectForeignKey(Item)

        class Meta:
            app_label = "testapp"
            indexes = (models.Index(fields=["subject", "timestamp", "id"], name="own"),)

    assert [index.fields for index in First._meta.indexes] == [["flow"], ["subject", "timestamp", "id"]]
    assert [index.name for index in Second._meta.indexes] == ["own"]
    assert list(Kind._meta.indexes) == [mine]
    state = ModelState.from_model(First)
    assert [index.name for index in state.options["indexes"]] == [i.name for i in First._meta.indexes]


@isolate_apps("tests.testapp")
def test_a_model_of_a_migration_has_the_indexes_that_the_migration_says() -> None:
    class Event(FlowEvent):
        subject = SubjectForeignKey(Item)

        class Meta:
            app_label = "testapp"

    state = ModelState.from_model(Event)
    state.options["indexes"] = []
    apps = StateApps([], {})
    rendered: Any = state.render(apps)

    assert rendered._meta.indexes == []


def project(subject_name: str = "Order", events_name: str = "Plain") -> ProjectState:
    """The models of a project that has subclassed FlowEvent in every way, as its code has them."""
    isolated: Any = isolate_apps("tests.testapp")
    with isolated as project_apps:

        class Options:
            app_label = "testapp"

        class AbstractOptions(FlowEvent.Meta, Options):
            abstract = True

        class ProxyOptions(Options):
            proxy = True

        same = ["subject", "timestamp", "id"]
        body = {"__module__": __name__, "Meta": Options}
        subject = type(subject_name, (models.Model,), body)

        def kind(name: str, base: Any = FlowEvent, meta: Any = Options, **fields: Any) -> Any:
            return type(name, (base,), {"__module__": __name__, "Meta": meta, **fields})

        def options(*indexes: models.Index, base: Any = Options) -> Any:
            return type("Meta", (base,), {"indexes": indexes})

        kind(events_name, subject=SubjectForeignKey(subject))
        own = kind("Indexed", meta=options(models.Index(fields=["flow"])), subject=SubjectForeignKey(subject))
        kind("Passed", own, ProxyOptions)
        kind("Prolonged", own, more=models.TextField(default=""))
        kind(
            "Named", meta=options(models.Index(fields=same, name="mine")), subject=SubjectForeignKey(subject)
        )
        kind("Unnamed", meta=options(models.Index(fields=same)), subject=SubjectForeignKey(subject))
        kind("Elsewhere", subject=SubjectForeignKey(subject, db_column="who"))
        of_one = kind("OfOne", meta=AbstractOptions, subject=SubjectForeignKey(subject))
        kind("First", of_one)
        kind("Second", of_one)
        of_any = kind("OfAny", meta=options(models.Index(fields=["sink"]), base=AbstractOptions))
        kind("Third", of_any, subject=SubjectForeignKey(subject))
        kind("Fourth", of_any, subject=SubjectForeignKey(subject))
        return ProjectState.from_apps(project_apps)


def migrated(before: ProjectState, after: ProjectState) -> tuple[ProjectState, list[str]]:
    """What a migration makes of the one state, written to a file and read, and the names of its operations."""
    ways = MigrationAutodetector(before, after, MigrationQuestioner({"ask_rename_model": True}, {"testapp"}))
    changes = ways.changes(MigrationGraph(), trim_to_apps={"testapp"})
    state, done = before.clone(), []
    for migration in changes.get("testapp", []):
        written: dict[str, Any] = {}
        exec(MigrationWriter(migration).as_string(), written)  # noqa: S102 - what makemigrations writes
        for operation in written["Migration"].operations:
            operation.state_forwards("testapp", state)
            done.append(type(operation).__name__)
    return state, done


def test_a_project_that_is_migrated_has_nothing_more_to_migrate() -> None:
    state, made = migrated(ProjectState(), project())
    assert {"CreateModel"} < set(made)
    assert migrated(state, project())[1] == []

    for names, expected in [
        (("Purchase",), {"RenameModel"}),
        (("Purchase", "Moved"), {"RenameModel", "RenameIndex"}),
    ]:
        state, made = migrated(state, project(*names))
        assert set(made) == expected
        assert migrated(state, project(*names))[1] == []

    of_subjects = [
        index
        for model in state.apps.get_models()
        for index in model._meta.indexes
        if index.fields == ["subject", "timestamp", "id"] and not model._meta.proxy
    ]
    assert len(of_subjects) == len({index.name for index in of_subjects}) == 9
