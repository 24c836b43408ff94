"""Triggers come, stay and go with the declarations; what is missing is told, and history is never thrown away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection, models, transaction
from django.db.migrations import Migration
from django.test.utils import CaptureQueriesContext

from example.leads.models import Lead
from example.membership.models import Member, MemberFlowEvent, Plan
from stockandflow import capture
from stockandflow.capture.install import installed
from stockandflow.capture.triggers import prefix_of
from stockandflow.checks import check_databases
from stockandflow.declarations import ModelTracker, Stock
from stockandflow.exceptions import InvalidInput
from stockandflow.models import StockRecord
from stockandflow.models.clock import database_now
from stockandflow.registry import Registry, registry
from tests.capture.conftest import Declare
from tests.capture.test_triggers import execute, new_member
from tests.testapp.models import Item, ItemFlowEvent

pytestmark = pytest.mark.usefixtures("transactional_db")


def item_tracker(**lookups: Any) -> ModelTracker:
    stock = Stock(slug="drafts", name="Drafts", queryset=Item.objects.filter(**lookups))
    return ModelTracker(stocks=[stock], event_model=ItemFlowEvent)


def drop_one(name: str) -> None:
    table = installed(connection)[name]
    on = f" ON {table}" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {connection.ops.quote_name(name)}{on}")


def ddl(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if query["sql"].split()[0] in ("CREATE", "DROP")]


def test_installing_again_changes_nothing() -> None:
    before = installed(connection)
    with CaptureQueriesContext(connection) as queries:
        assert capture.install(registry, "default") == []

    assert ddl(queries) == []
    assert installed(connection) == before
    assert before


def test_a_missing_trigger_alone_is_made_anew() -> None:
    before = installed(connection)
    name = next(name for name, table in before.items() if table == "leads_lead")
    drop_one(name)

    assert capture.install(registry, "default") == [name]
    assert installed(connection) == before


def test_a_stale_trigger_gives_way_to_the_right_one(declare: Declare) -> None:
    declare(item_tracker(text="draft"))
    old = {name for name, table in installed(connection).items() if table == "testapp_item"}
    declare()
    another = Registry()
    another.register(*registry.trackers[:-1], item_tracker(text="sketch"))
    made = capture.install(another, "default")
    new = {name for name, table in installed(connection).items() if table == "testapp_item"}

    assert new == set(made)
    assert not new & old
    Item.objects.create(text="draft")
    Item.objects.create(text="sketch")
    assert ItemFlowEvent.objects.count() == 1


def test_the_triggers_of_a_tracker_that_is_gone_go_with_their_functions() -> None:
    others = Registry()
    others.register(*(tracker for tracker in registry.trackers if tracker.model is not Member))
    try:
        capture.install(others, "default")
        assert "membership_member" not in installed(connection).values()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'stockandflow\\_%%'", [])
                assert cursor.fetchone()[0] == len(installed(connection))
        new_member(Plan.objects.create(name="Basic", monthly_price=9))
        assert not MemberFlowEvent.objects.exists()
    finally:
        capture.install(registry, "default")


def test_uninstalling_leaves_nothing_and_can_be_repeated() -> None:
    before = installed(connection)
    try:
        assert capture.uninstall("default") == sorted(before)
        assert capture.uninstall("default") == []
        assert installed(connection) == {}
    finally:
        capture.install(registry, "default")
    assert installed(connection) == before


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL can disable a trigger")
def test_disabled_triggers_are_taken_out_too() -> None:
    execute("ALTER TABLE membership_member DISABLE TRIGGER USER")
    try:
        capture.uninstall("default")
        assert installed(connection, disabled=True) == {}
    finally:
        capture.install(registry, "default")


def test_other_triggers_are_left_alone() -> None:
    """A name that only begins alike to a careless pattern: the underscore stands for any letter there."""
    name = "stockandflowxother"
    body = {
        "sqlite": f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead BEGIN SELECT 1; END",
        "mysql": f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead FOR EACH ROW SET @sf = 1",
        "postgresql": (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
            f"CREATE TRIGGER {name} AFTER DELETE ON leads_lead FOR EACH ROW EXECUTE FUNCTION {name}()"
        ),
    }[connection.vendor]
    execute(body)
    try:
        capture.uninstall("default")
        capture.install(registry, "default")
        assert name not in installed(connection)
    finally:
        on = " ON leads_lead" if connection.vendor == "postgresql" else ""
        execute(f"DROP TRIGGER {name}{on}")  # which fails where it is gone
        if connection.vendor == "postgresql":
            execute(f"DROP FUNCTION {name}()")


def test_status_tells_what_is_there_and_what_is_missing() -> None:
    name = next(name for name, table in installed(connection).items() if table == "leads_lead")
    drop_one(name)
    states = {state.tracker.slug: state for state in capture.status(registry, "default")}
    capture.install(registry, "default")

    assert states["leads.lead"].missing == (name,)
    assert states["membership.member"].missing == ()
    assert len(states["membership.member"].installed) >= 3
    assert states["membership.member"].method.kind == "triggers"
    escalation = states["support.escalation"]
    assert (escalation.method.kind, escalation.installed, escalation.missing) == ("signals", (), ())
    assert "Python function" in escalation.method.reason


def stranger(name: str, table: str) -> list[str]:
    """Statements that make a trigger by that name."""
    return {
        "sqlite": [f"CREATE TRIGGER {name} AFTER DELETE ON {table} BEGIN SELECT 1; END"],
        "mysql": [f"CREATE TRIGGER {name} AFTER DELETE ON {table} FOR EACH ROW SET @sf = 1"],
        "postgresql": [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"CREATE TRIGGER {name} AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
        ],
    }[connection.vendor]


GONE = "stockandflow_00000000_0123456789abcdef_delete"


def test_triggers_of_a_tracker_that_is_gone_are_told_and_go_with_a_sync() -> None:
    for statement in stranger(GONE, "leads_lead"):
        execute(statement)
    found = capture.strangers(registry, "default")
    (message,) = check_databases(databases=["default"])
    capture.install(registry, "default")

    assert (found.left_over, found.foreign) == ({GONE: "leads_lead"}, {})
    assert message.id == "stockandflow.W009"
    assert "leads_lead" in message.msg
    assert GONE not in installed(connection)
    assert capture.strangers(registry, "default") == capture.Strangers({}, {})


def test_another_projects_triggers_in_the_same_database_are_told_and_left_alone() -> None:
    """Its tables are of no model here; one of its trackers even has the slug of one of ours."""
    names = [GONE, f"{prefix_of(registry.tracker('leads.lead'))}0123456789abcdef_delete"]
    execute("CREATE TABLE another_projects (id integer)")
    try:
        for name in names:
            for statement in stranger(name, "another_projects"):
                execute(statement)
        before = installed(connection)
        assert capture.strangers(registry, "default").foreign == dict.fromkeys(names, "another_projects")
        assert not any(state.stale for state in capture.status(registry, "default"))
        assert check_databases(databases=["default"]) == []
        capture.uninstall("default")
        assert set(installed(connection)) == set(names)
        capture.install(registry, "default")
        capture.before_migrate(registry, "default", [(Migration("of_a_test", "leads"), False)])
        capture.after_migrate(registry, "default", flushed=False)
        assert installed(connection) == before
    finally:
        execute("DROP TABLE another_projects")
        if connection.vendor == "postgresql":
            for name in names:
                execute(f"DROP FUNCTION {name}()")


def test_triggers_of_an_earlier_declaration_are_stale_and_give_way(declare: Declare) -> None:
    declare(item_tracker(text="draft"))
    another = Registry()
    others = [tracker for tracker in registry.trackers if tracker.model is not Item]
    another.register(*others, item_tracker(text="sketch"))
    before = {state.tracker.model: state for state in capture.status(another, "default")}
    capture.install(another, "default")
    after = {state.tracker.model: state for state in capture.status(another, "default")}

    assert before[Item].stale
    assert before[Item].missing
    assert not before[Lead].stale
    assert (after[Item].stale, after[Item].missing) == ((), ())


def test_triggers_of_a_tracker_that_signals_serve_now_are_stale(declare: Declare) -> None:
    """Left in place they would write each move a second time."""
    declare(item_tracker(text="draft"))
    slug = registry.trackers[-1].slug
    another = Registry()
    by_function = ModelTracker(
        ["text"],
        lambda *_: ((), ()),
        [Stock(slug="drafts", name="Drafts", queryset=Item.objects.all())],
        event_model=ItemFlowEvent,
        slug=slug,
    )
    another.register(*registry.trackers[:-1], by_function)
    messages = check_databases(databases=["default"], registry=another)
    stale = capture.status(another, "default")[-1].stale
    capture.install(another, "default")

    (told,) = (message for message in messages if message.id == "stockandflow.W005")
    assert "those of an earlier declaration in the database 'default', so moves of testapp.Item" in told.msg
    assert stale
    assert capture.status(another, "default")[-1].stale == ()


def test_a_missing_trigger_is_reported_with_what_to_do() -> None:
    drop_one(next(name for name, table in installed(connection).items() if table == "leads_lead"))
    (message,) = check_databases(databases=["default"])
    call_command("migrate", verbosity=0)

    assert message.id == "stockandflow.W005"
    assert message.msg == (
        "The triggers of the tracker 'leads.lead' are missing in the database 'default', so moves of leads.Lead "
        "objects aren't recorded."
    )
    assert "'manage.py migrate' mends that at its end" in str(message.hint), "which shows it, too"
    assert check_databases(databases=["default"]) == []


def test_migrate_mends_and_has_nothing_to_do_where_all_is_well() -> None:
    before = installed(connection)
    call_command("migrate", verbosity=0)
    assert installed(connection) == before
    capture.uninstall("default")
    call_command("migrate", verbosity=0)

    assert installed(connection) == before


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alters a table by making another")
class TestRemadeTables:
    """SQLite drops the triggers of a table that is remade, without a word."""

    def test_round_the_migrations_they_are_lost_and_that_is_told(self) -> None:
        before = installed(connection)
        remake(Lead)
        assert "leads_lead" not in installed(connection).values()
        assert [message.id for message in check_databases(databases=["default"])] == ["stockandflow.W005"]
        capture.install(registry, "default")

        assert installed(connection) == before


def remake(model: type[models.Model]) -> None:
    """Make the name longer, and short again."""
    field: Any = model._meta.get_field("name")
    longer: Any = models.CharField(max_length=120)
    longer.set_attributes_from_name("name")
    longer.model = model
    for before, after in ((field, longer), (longer, field)):
        with connection.schema_editor() as editor:
            editor.alter_field(model, before, after)


# Suspension.


def test_what_is_written_while_suspended_leaves_no_event_and_the_capture_comes_back() -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    before = installed(connection)
    with capture.suspended(registry, "default"):
        new_member(plan)
        assert installed(connection) == {}

    assert not MemberFlowEvent.objects.exists()
    assert installed(connection) == before
    new_member(plan)
    assert MemberFlowEvent.objects.count() == 1


def test_an_error_while_suspended_brings_the_capture_back() -> None:
    before = installed(connection)
    with pytest.raises(ZeroDivisionError), capture.suspended(registry, "default"):
        _ = 1 / 0

    assert installed(connection) == before


def test_the_end_of_an_inner_suspension_is_not_the_end_of_the_outer_one() -> None:
    before = installed(connection)
    with capture.suspended(registry, "default"):
        with capture.suspended(registry, "default"):
            pass
        assert installed(connection) == {}

    assert installed(connection) == before


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB can't take the coming of triggers back")
def test_a_rolled_back_suspension_was_none() -> None:
    before = installed(connection)
    with transaction.atomic():
        with capture.suspended(registry, "default"):
            new_member(Plan.objects.create(name="Basic", monthly_price=9))
        transaction.set_rollback(True)

    assert installed(connection) == before
    assert not Member.objects.exists()


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others can take the coming of triggers back")
def test_mariadb_never_commits_a_transaction_behind_its_owners_back() -> None:
    with transaction.atomic():
        Plan.objects.create(name="Basic", monthly_price=9)
        capture.install(registry, "default")  # nothing to do
        with pytest.raises(InvalidInput, match=r"outside transaction\.atomic"):
            capture.uninstall("default")
        transaction.set_rollback(True)

    assert not Plan.objects.exists()


# History.


def test_post_migrate_sent_by_the_project_itself_throws_no_history_away() -> None:
    """As is done to have permissions made in a migration; it looks like the end of a flush."""
    member = new_member(Plan.objects.create(name="Basic", monthly_price=9))
    emit_post_migrate_signal(0, False, "default")
    assert MemberFlowEvent.objects.count() == 1
    member.delete()
    emit_post_migrate_signal(0, False, "default")
    assert MemberFlowEvent.objects.count() == 2


def test_departures_alone_are_history_where_something_was_recorded() -> None:
    with capture.suspended(registry, "default"):
        member = new_member(Plan.objects.create(name="Basic", monthly_price=9))
    at = database_now("default") - timedelta(minutes=1)
    StockRecord.objects.create(stock="trial", timestamp=at, count=1)
    member.delete()
    emit_post_migrate_signal(0, False, "default")

    assert MemberFlowEvent.objects.get().source == "trial"
