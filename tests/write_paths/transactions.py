"""Writes that are taken back, that fail, that meet each other, and that are awaited."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import closing
from threading import Thread
from typing import Any

from asgiref.sync import async_to_sync
from django.db import DatabaseError, connections, transaction

from tests.write_paths.instances import save
from tests.write_paths.listing import Listing, only_on
from tests.write_paths.scene import ARRIVES, LEAVES, TRIAL_ACTIVE, Scene

TRANSACTIONS = Listing("Transactions")
makes = TRANSACTIONS.makes


@makes()
def roll_back(scene: Scene) -> None:
    """Rolled back."""
    with transaction.atomic():
        save(scene)
        scene.objects.filter(pk=scene.subject.pk).delete()
        transaction.set_rollback(True)


@makes(TRIAL_ACTIVE, ("active", "churned"))
def roll_back_to_a_savepoint(scene: Scene) -> None:
    """Rolled back to a savepoint, and on from there."""
    with transaction.atomic():
        save(scene)
        with transaction.atomic():
            scene.objects.update(status="paused")
            transaction.set_rollback(True)
        scene.objects.update(status="churned")


@makes(TRIAL_ACTIVE)
def roll_back_and_try_again(scene: Scene) -> None:
    """Rolled back, and the same instance saved again."""
    for again in (True, False):
        with transaction.atomic():
            save(scene)
            transaction.set_rollback(again)


@makes()
def failing_insert(scene: Scene) -> None:
    """A statement that fails at its second row."""
    rows = [scene.new(), scene.new()]
    rows[1].name = None
    with contextlib.suppress(DatabaseError), transaction.atomic():
        scene.objects.bulk_create(rows)


@makes()
def failing_update(scene: Scene) -> None:
    """`UPDATE` that fails: no event of it remains."""
    with contextlib.suppress(DatabaseError), transaction.atomic():
        scene.objects.update(status="active", name=None)


@makes()
def failing_update_outside(scene: Scene) -> None:
    """`UPDATE` that fails, in autocommit."""
    with contextlib.suppress(DatabaseError):
        scene.objects.update(status="active", name=None)


@makes()
def without_events(scene: Scene) -> None:
    """A write whose event can't be written: neither is."""
    with scene.refusing():
        writes: list[Callable[[], object]] = [
            scene.new().save,
            lambda: scene.objects.update(status="active"),
            scene.objects.all().delete,
        ]
        for write in writes:
            with contextlib.suppress(DatabaseError), transaction.atomic():
                write()


ONE_WRITER = "SQLite has one writer at a time."


@makes(
    TRIAL_ACTIVE,
    ARRIVES,
    ("trial", "paused"),
    absent=only_on("postgresql", "mariadb", why=ONE_WRITER),
)
def overlapping(scene: Scene) -> None:
    """Two transactions at once, which commit in reverse order."""
    other = scene.new()
    other.save()
    with scene.client() as first, scene.client() as second:
        for client, pk, status in (
            (first, scene.subject.pk, "active"),
            (second, other.pk, "paused"),
        ):
            with closing(client.cursor()) as cursor:
                cursor.execute(f"UPDATE {scene.table} SET status = '{status}' WHERE id = {pk}")
        second.commit()
        first.commit()


@makes(
    TRIAL_ACTIVE,
    ("active", "paused"),
    absent=only_on("postgresql", "mariadb", why=ONE_WRITER),
)
def waiting(scene: Scene) -> None:
    """Two transactions change one row, the second waits for the first."""
    update = f"UPDATE {scene.table} SET status = '{{}}' WHERE id = {scene.subject.pk}"
    with scene.client() as first, closing(first.cursor()) as cursor:
        cursor.execute(update.format("active"))
        second = Thread(target=scene.by_client, args=[update.format("paused")])
        second.start()
        second.join(0.2)
        first.commit()
        second.join()


@makes(TRIAL_ACTIVE)
def another_thread(scene: Scene) -> None:
    """`save()` in another thread."""

    def work() -> None:
        try:
            save(scene)
        finally:
            connections.close_all()

    thread = Thread(target=work)
    thread.start()
    thread.join()


ASYNCHRONOUS = Listing("Asynchronous")
makes = ASYNCHRONOUS.makes


def awaited(made: Callable[[], Any]) -> None:
    async def wait() -> None:
        await made()

    async_to_sync(wait)()


@makes(ARRIVES)
def acreate(scene: Scene) -> None:
    """`acreate()`."""
    awaited(lambda: scene.objects.acreate(name="Bob"))


@makes(TRIAL_ACTIVE)
def asave(scene: Scene) -> None:
    """`asave()`."""
    scene.subject.status = "active"
    awaited(scene.subject.asave)


@makes(TRIAL_ACTIVE)
def aupdate(scene: Scene) -> None:
    """`aupdate()`."""
    awaited(lambda: scene.objects.aupdate(status="active"))


@makes(("", "active"), ARRIVES)
def abulk_create(scene: Scene) -> None:
    """`abulk_create()`."""
    awaited(lambda: scene.objects.abulk_create([scene.new(), scene.new(status="active")]))


@makes(TRIAL_ACTIVE)
def abulk_update(scene: Scene) -> None:
    """`abulk_update()`."""
    scene.subject.status = "active"
    awaited(lambda: scene.objects.abulk_update([scene.subject], ["status"]))


@makes(TRIAL_ACTIVE)
def aupdate_or_create(scene: Scene) -> None:
    """`aupdate_or_create()`."""
    awaited(lambda: scene.objects.aupdate_or_create(name="Ada", defaults={"status": "active"}))


@makes(LEAVES)
def adelete(scene: Scene) -> None:
    """`adelete()`."""
    awaited(scene.subject.adelete)


OTHER_DATABASE = Listing("A second database")
makes = OTHER_DATABASE.makes


@makes(ARRIVES, elsewhere=True)
def create_using(scene: Scene) -> None:
    """`objects.using(…).create()`."""
    scene.objects.using(scene.other).create(name="Bob")


@makes(ARRIVES, TRIAL_ACTIVE, elsewhere=True)
def save_using(scene: Scene) -> None:
    """`save(using=…)`, new there and then changed."""
    scene.subject.plan = scene.subject.owner = None
    scene.subject.save(using=scene.other, force_insert=True)
    scene.subject.status = "active"
    scene.subject.save(using=scene.other)


@makes(ARRIVES, TRIAL_ACTIVE, ("active", ""), elsewhere=True)
def update_using(scene: Scene) -> None:
    """`using(…).update()` and `using(…).delete()`."""
    rows = scene.objects.using(scene.other)
    rows.bulk_create([scene.new()])
    rows.update(status="active")
    rows.all().delete()


@makes()
def written_elsewhere(scene: Scene) -> None:
    """Written to the second database: nothing moves in the first."""
    update_using(scene)
