"""Writes to subjects of other shapes, and to tables beside theirs that decide where they stand."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import sleep
from typing import Any

from django.db.models import F
from django.utils import timezone

from tests.write_paths.listing import Listing, everywhere
from tests.write_paths.scene import ARRIVES, LEAVES, TRIAL_ACTIVE, Gap, Scene, quoted

INHERITANCE = Listing("Inheritance and proxies")
makes = INHERITANCE.makes


def child_of(scene: Scene) -> Any:
    """The scene's subject as a child that has a row of its own."""
    child: Any = scene.cast.child
    made = child(subject_ptr=scene.subject, seats=2)
    made.save_base(raw=True)  # the parent's row stays as it is
    return child._base_manager.get(pk=scene.subject.pk)


@makes(ARRIVES)
def create_child(scene: Scene) -> None:
    """`create()` of a child in a table of its own."""
    child: Any = scene.cast.child
    child._base_manager.create(name="Bob", seats=3)


@makes()
def promote_to_child(scene: Scene) -> None:
    """A child's row for a parent that is there."""
    child_of(scene)


@makes(TRIAL_ACTIVE)
def save_child(scene: Scene) -> None:
    """`save()` of the child, by the parent's field."""
    child = child_of(scene)
    child.status = "active"
    child.save()


@makes()
def save_childs_own(scene: Scene) -> None:
    """`save()` of the child, by its own field."""
    child = child_of(scene)
    child.seats = 9
    child.save()


@makes(TRIAL_ACTIVE)
def save_parent_of_child(scene: Scene) -> None:
    """`save()` of the parent."""
    child_of(scene)
    scene.subject.status = "active"
    scene.subject.save()


@makes(TRIAL_ACTIVE)
def update_child(scene: Scene) -> None:
    """`update()` of both tables through the child."""
    type(child_of(scene))._base_manager.update(status="active", seats=F("seats") + 1)


@makes(LEAVES)
def delete_child(scene: Scene) -> None:
    """`delete()` of the child."""
    child_of(scene).delete()


@makes()
def delete_child_keeping_parent(scene: Scene) -> None:
    """`delete(keep_parents=True)`."""
    child_of(scene).delete(keep_parents=True)


@makes(LEAVES)
def delete_parent_of_child(scene: Scene) -> None:
    """`QuerySet.delete()` of the parent, which takes the child along."""
    child_of(scene)
    scene.objects.all().delete()


@makes(ARRIVES, ("trial", "paused"), TRIAL_ACTIVE)
def proxy(scene: Scene) -> None:
    """`create()`, `save()` and `update()` of a proxy."""
    model: Any = scene.cast.proxy
    other = model._base_manager.create(name="Bob")
    other.status = "paused"
    other.save()
    model._base_manager.filter(status="trial").update(status="active")


@makes(LEAVES)
def delete_proxy(scene: Scene) -> None:
    """`delete()` of a proxy."""
    model: Any = scene.cast.proxy
    model._base_manager.get(pk=scene.subject.pk).delete()


KEYS = Listing("Keys of other kinds")
makes = KEYS.makes
COMPOSITE = "Django can't point an event's foreign key at a composite key; `stockandflow.E017` says so."


@makes(ARRIVES, TRIAL_ACTIVE, LEAVES, role="coded")
def text_key(scene: Scene) -> None:
    """A text as key: `bulk_create()`, `update()`, `delete()`."""
    scene.model._base_manager.bulk_create([scene.model(code="it's \\ ☃")])
    scene.objects.filter(code="ada").update(status="active")
    scene.objects.filter(code="it's \\ ☃").delete()


@makes(LEAVES, ARRIVES, role="coded")
def text_key_renamed(scene: Scene) -> None:
    """A text as key, which gets another value."""
    scene.objects.update(code="countess")


@makes(ARRIVES, TRIAL_ACTIVE, ("active", ""), role="identified")
def uuid_key(scene: Scene) -> None:
    """A UUID as key: `create()`, `save()`, `delete()`."""
    scene.model._base_manager.create()
    scene.subject.status = "active"
    scene.subject.save()
    scene.subject.delete()


@makes(absent={"sqlite": COMPOSITE, "postgresql": COMPOSITE, "mariadb": COMPOSITE})
def composite_key(_: Scene) -> None:
    """A composite primary key."""
    raise NotImplementedError(COMPOSITE)


RELATED = Listing("Stocks that another table decides", role="customer")
makes = RELATED.makes
PAYS, OWES = ("free", "paying"), ("paying", "free")


def paid_plan(scene: Scene) -> Any:
    return scene.cast.plan._base_manager.create(name="Pro", paid=True)


@makes(("", "paying"))
def create_related(scene: Scene) -> None:
    """`create()` with a plan that is paid."""
    scene.objects.create(name="Bob", plan=paid_plan(scene))


@makes(PAYS)
def save_related(scene: Scene) -> None:
    """`save()` with another plan."""
    scene.subject.plan = paid_plan(scene)
    scene.subject.save()


@makes(PAYS)
def update_related(scene: Scene) -> None:
    """`update()` to another plan."""
    scene.objects.update(plan=paid_plan(scene))


@makes(PAYS)
def sql_related(scene: Scene) -> None:
    """`UPDATE` to another plan, in SQL."""
    scene.execute(f"UPDATE {scene.table} SET plan_id = %s", paid_plan(scene).pk)


@makes(("", "paying"))
def bulk_create_related(scene: Scene) -> None:
    """`bulk_create()` with a plan that is paid."""
    scene.objects.bulk_create([scene.new(plan=paid_plan(scene))])


@makes(PAYS)
def save_the_other_row(scene: Scene) -> None:
    """`save()` of the plan: it is paid from now on."""
    scene.subject.plan.paid = True
    scene.subject.plan.save()


@makes(PAYS)
def update_the_other_rows(scene: Scene) -> None:
    """`update()` of all plans."""
    scene.cast.plan._base_manager.update(paid=True)


@makes(PAYS)
def sql_of_the_other_rows(scene: Scene) -> None:
    """`UPDATE` of the plan, in SQL."""
    paid = "true" if scene.connection.vendor == "postgresql" else "1"
    scene.execute(f"UPDATE {quoted(scene.cast.plan)} SET paid = {paid}")


@makes()
def update_another_field_of_the_other_row(scene: Scene) -> None:
    """`update()` of the plan's name."""
    scene.cast.plan._base_manager.update(name="Basic")


@makes(("free", ""))
def delete_the_other_row(scene: Scene) -> None:
    """`delete()` of the plan, which takes the customer along."""
    scene.subject.plan.delete()


@makes(("", "hot"), role="article")
def many_to_many_add(scene: Scene) -> None:
    """`labels.add()`."""
    scene.subject.labels.add(label(scene))


@makes(("", "hot"), ("hot", ""), role="article")
def many_to_many_remove(scene: Scene) -> None:
    """`labels.add()`, `labels.remove()`."""
    found = label(scene)
    scene.subject.labels.add(found)
    scene.subject.labels.remove(found)


@makes(("", "hot"), ("hot", ""), role="article")
def many_to_many_clear(scene: Scene) -> None:
    """`labels.set()`, `labels.clear()`."""
    scene.subject.labels.set([label(scene), label(scene, "cold")])
    scene.subject.labels.clear()


@makes(("", "hot"), ("hot", ""), role="article")
def many_to_many_by_sql(scene: Scene) -> None:
    """Rows of the table between, in SQL."""
    through = scene.model.labels.through._meta.db_table
    scene.execute(
        f"INSERT INTO {through} (article_id, label_id) VALUES (%s, %s)", scene.subject.pk, label(scene).pk
    )
    scene.execute(f"DELETE FROM {through}")


@makes(("", "hot"), ("hot", ""), role="article")
def many_to_many_renamed(scene: Scene) -> None:
    """`update()` of the label, twice."""
    scene.subject.labels.add(label(scene, "cold"))
    labels = type(label(scene, "other"))._base_manager
    labels.filter(name="cold").update(name="hot")
    labels.filter(name="hot").update(name="cold")


@makes(("", "hot"), ("hot", ""), role="article")
def many_to_many_label_deleted(scene: Scene) -> None:
    """`delete()` of the label."""
    found = label(scene)
    scene.subject.labels.add(found)
    found.delete()


def label(scene: Scene, name: str = "hot") -> Any:
    model: Any = scene.cast.label
    return model._base_manager.create(name=name)


BULK = Gap("Signals can't see bulk writes: update(), bulk_create(), bulk_update().")
BY_SQL = Gap("Signals can't see SQL and other programs.")
TIME = Gap("Signals can't see the passing of time.")
CLOSES = ("open", "")

CLOCK = Listing("Stocks that the clock decides", role="dated")
makes = CLOCK.makes


def yesterday() -> datetime:
    return timezone.now() - timedelta(days=1)


@makes(("", "open"))
def create_dated(scene: Scene) -> None:
    """`create()` of what is open, and of what is over."""
    scene.objects.create(name="Bob", until=scene.subject.until)
    scene.objects.create(name="Eve", until=yesterday())


@makes(CLOSES)
def save_dated(scene: Scene) -> None:
    """`save()`: it is over."""
    scene.subject.until = yesterday()
    scene.subject.save()


@makes(CLOSES)
def delete_dated(scene: Scene) -> None:
    """`delete()` of what is open."""
    scene.subject.delete()


@makes(CLOSES, gaps=everywhere(BULK))
def update_dated(scene: Scene) -> None:
    """`update()` by a manager that captures no bulk writes."""
    scene.objects.update(until=yesterday())


@makes(CLOSES, gaps=everywhere(BY_SQL))
def sql_dated(scene: Scene) -> None:
    """`UPDATE`, in SQL."""
    scene.execute(f"UPDATE {scene.table} SET until = '2001-01-01 00:00:00'")


@makes(CLOSES, gaps=everywhere(TIME))
def time_passes(scene: Scene) -> None:
    """Nothing is written, and its time has come."""
    scene.subject.until = timezone.now() + timedelta(seconds=0.3)
    scene.subject.save()
    sleep(0.4)
