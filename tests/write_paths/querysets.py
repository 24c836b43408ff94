"""Writes to many rows by the ORM, and what goes along with another row."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat

from tests.write_paths.listing import Listing
from tests.write_paths.scene import ARRIVES, LEAVES, TRIAL_ACTIVE, Gap, Scene

QUERYSETS = Listing("Querysets")
makes = QUERYSETS.makes


@makes(("", "active"), ("", "paused"), ("", "paused"))
def bulk_create(scene: Scene) -> None:
    """`bulk_create()`."""
    rows = [scene.new(status=status) for status in ("active", "paused", "paused", "lost")]
    scene.objects.bulk_create(rows, batch_size=2)


@makes(("", "active"))
def bulk_create_ignoring(scene: Scene) -> None:
    """`bulk_create(ignore_conflicts=True)`."""
    rows = [scene.new(pk=scene.subject.pk, status="paused"), scene.new(status="active")]
    scene.objects.bulk_create(rows, ignore_conflicts=True)


@makes(TRIAL_ACTIVE, ("", "active"))
def bulk_create_updating(scene: Scene) -> None:
    """`bulk_create(update_conflicts=True)` of the field that decides."""
    upsert(scene, ["status"])


@makes(("", "active"))
def bulk_create_updating_another_field(scene: Scene) -> None:
    """`bulk_create(update_conflicts=True)` of another field."""
    upsert(scene, ["name"])


def upsert(scene: Scene, fields: list[str]) -> None:
    rows = [scene.new(pk=pk, status="active") for pk in (scene.subject.pk, scene.subject.pk + 1000)]
    target: Any = scene.connection.features
    unique = ["id"] if target.supports_update_conflicts_with_target else None
    scene.objects.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=unique)


@makes(TRIAL_ACTIVE, ("", "trial"), ("trial", "paused"))
def bulk_update(scene: Scene) -> None:
    """`bulk_update()` of the field that decides."""
    other = scene.new()
    other.save()
    scene.subject.status, other.status = "active", "paused"
    scene.objects.bulk_update([scene.subject, other], ["status", "name"])


@makes()
def bulk_update_another_field(scene: Scene) -> None:
    """`bulk_update()` of another field."""
    scene.subject.status, scene.subject.name = "active", "Countess"
    scene.objects.bulk_update([scene.subject], ["name"])


@makes(TRIAL_ACTIVE)
def update(scene: Scene) -> None:
    """`update()`."""
    scene.objects.filter(pk=scene.subject.pk).update(status="active")


@makes()
def update_to_the_same(scene: Scene) -> None:
    """`update()` to the value that is there."""
    scene.objects.update(status="trial")


@makes()
def update_another_field(scene: Scene) -> None:
    """`update()` of another field, by `F()`."""
    scene.objects.update(name=Concat(F("name"), Value("!")))


@makes(TRIAL_ACTIVE)
def update_by_another_field(scene: Scene) -> None:
    """`update(status=F(…))`."""
    scene.objects.update(name="active")
    scene.objects.update(status=F("name"))


@makes(TRIAL_ACTIVE)
def update_by_case(scene: Scene) -> None:
    """`update(status=Case(When(…)))`."""
    scene.objects.update(status=Case(When(status="trial", then=Value("active")), default=F("status")))


@makes(("", "active"), TRIAL_ACTIVE, ("active", "churned"), ("active", "churned"))
def update_many(scene: Scene) -> None:
    """`update()` of several rows, twice."""
    scene.new(status="active").save()
    scene.objects.filter(status="trial").update(status="active")
    scene.objects.filter(status="active").update(status="churned")


@makes(TRIAL_ACTIVE)
def update_by_related(scene: Scene) -> None:
    """`update()` through a related manager."""
    scene.subject.owner.subjects.update(status="active")


@makes(TRIAL_ACTIVE)
def update_over_a_join(scene: Scene) -> None:
    """`update()` of rows chosen by another table."""
    scene.objects.filter(owner__name="Ann", plan__paid=False).update(status="active")


@makes(LEAVES, ARRIVES)
def update_key(scene: Scene) -> None:
    """`update(id=…)`: one subject leaves, another arrives."""
    scene.objects.filter(pk=scene.subject.pk).update(id=scene.subject.pk + 1000)


@makes(LEAVES, ("", "active"))
def update_key_and_state(scene: Scene) -> None:
    """`update(id=…, status=…)`."""
    scene.objects.filter(pk=scene.subject.pk).update(id=scene.subject.pk + 1000, status="active")


@makes(LEAVES)
def delete_queryset(scene: Scene) -> None:
    """`QuerySet.delete()`."""
    scene.objects.filter(pk=scene.subject.pk).delete()


@makes(LEAVES)
def raw_delete_queryset(scene: Scene) -> None:
    """`QuerySet._raw_delete()`."""
    scene.objects.filter(pk=scene.subject.pk)._raw_delete(scene.using)


CASCADES = Listing("Cascades")
makes = CASCADES.makes


@makes(LEAVES)
def cascade(scene: Scene) -> None:
    """`on_delete=CASCADE`: `delete()` of the object that it hangs on."""
    scene.subject.owner.delete()


@makes(LEAVES)
def cascade_queryset(scene: Scene) -> None:
    """`on_delete=CASCADE`: `QuerySet.delete()` of those that it hangs on."""
    scene.cast.owner._base_manager.filter(name="Ann").delete()


@makes()
def set_null(scene: Scene) -> None:
    """`on_delete=SET_NULL`: it only loses its plan."""
    scene.subject.plan.delete()


MARIADB_CASCADE = "MariaDB fires no trigger for rows that a foreign key's own cascade deletes."


@makes(LEAVES, role="kept", gaps={"mariadb": Gap(MARIADB_CASCADE)})
def cascade_in_the_database(scene: Scene) -> None:
    """`on_delete=DB_CASCADE`: the database deletes by itself."""
    scene.subject.keeper.delete()


@makes(LEAVES, role="kept", gaps={"mariadb": Gap(MARIADB_CASCADE)})
def cascade_in_the_database_by_sql(scene: Scene) -> None:
    """`ON DELETE CASCADE`, by SQL."""
    scene.execute(f"DELETE FROM {scene.subject.keeper._meta.db_table}")
