"""Writes by one object of the ORM."""

from __future__ import annotations

import copy
import pickle

from django.core import serializers
from django.db import transaction
from django.db.models import Case, F, Value, When

from tests.write_paths.listing import Listing
from tests.write_paths.scene import ARRIVES, LEAVES, TRIAL_ACTIVE, Scene

INSTANCES = Listing("Instances")
makes = INSTANCES.makes


@makes(ARRIVES)
def create(scene: Scene) -> None:
    """`Model(…).save()`."""
    scene.new().save()


@makes(ARRIVES)
def create_by_manager(scene: Scene) -> None:
    """`objects.create(…)`."""
    scene.objects.create(name="Bob")


@makes(ARRIVES)
def create_with_a_key(scene: Scene) -> None:
    """`Model(pk=…).save()`, the key given."""
    scene.new(pk=scene.subject.pk + 1000).save()


@makes(ARRIVES)
def create_by_force(scene: Scene) -> None:
    """`save(force_insert=True)`."""
    scene.new(pk=scene.subject.pk + 1000).save(force_insert=True)


@makes(TRIAL_ACTIVE)
def save(scene: Scene) -> None:
    """`save()` of what decides."""
    scene.subject.status = "active"
    scene.subject.save()


@makes()
def save_unchanged(scene: Scene) -> None:
    """`save()` without a change."""
    scene.subject.save()


@makes()
def save_another_field(scene: Scene) -> None:
    """`save()` of another field."""
    scene.subject.name = "Countess"
    scene.subject.save()


@makes(TRIAL_ACTIVE)
def save_update_fields(scene: Scene) -> None:
    """`save(update_fields=…)` with the field that decides."""
    scene.subject.status = "active"
    scene.subject.save(update_fields=["status"])


@makes()
def save_other_update_fields(scene: Scene) -> None:
    """`save(update_fields=…)` without the field that changed."""
    scene.subject.status = "active"
    scene.subject.save(update_fields=["name"])


@makes()
def save_no_update_fields(scene: Scene) -> None:
    """`save(update_fields=[])`, which writes nothing."""
    scene.subject.status = "active"
    scene.subject.save(update_fields=[])


@makes(TRIAL_ACTIVE, ("active", "churned"))
def save_twice(scene: Scene) -> None:
    """One instance saved twice, from A to B to C."""
    for status in ("active", "churned"):
        scene.subject.status = status
        scene.subject.save()


@makes(TRIAL_ACTIVE, ("active", "churned"))
def save_twice_in_one_transaction(scene: Scene) -> None:
    """One instance saved twice within a transaction, from A to B to C."""
    with transaction.atomic():
        save_twice(scene)


@makes(TRIAL_ACTIVE, ("active", "trial"))
def there_and_back(scene: Scene) -> None:
    """One instance saved twice within a transaction, from A to B and back to A."""
    with transaction.atomic():
        for status in ("active", "trial"):
            scene.subject.status = status
            scene.subject.save()


@makes(("trial", "churned"))
def change_twice_save_once(scene: Scene) -> None:
    """Changed twice, saved once."""
    scene.subject.status = "active"
    scene.subject.status = "churned"
    scene.subject.save()


@makes()
def change_and_refresh(scene: Scene) -> None:
    """Changed, `refresh_from_db()`, `save()`."""
    scene.subject.status = "active"
    scene.subject.refresh_from_db()
    scene.subject.save()


@makes(TRIAL_ACTIVE, ("active", "churned"))
def refresh_and_change(scene: Scene) -> None:
    """`refresh_from_db()` after somebody else's change, changed, `save()`."""
    scene.objects.update(status="active")
    scene.subject.refresh_from_db()
    scene.subject.status = "churned"
    scene.subject.save()


@makes(TRIAL_ACTIVE)
def save_with_others_deferred(scene: Scene) -> None:
    """`only("status")`, changed, `save()`."""
    deferred = scene.objects.only("status").get(pk=scene.subject.pk)
    deferred.status = "active"
    deferred.save()


@makes(TRIAL_ACTIVE)
def save_with_it_deferred(scene: Scene) -> None:
    """`defer("status")`, changed without being read, `save()`."""
    deferred = scene.objects.defer("status").get(pk=scene.subject.pk)
    deferred.status = "active"
    deferred.save()


@makes(TRIAL_ACTIVE)
def save_with_it_deferred_and_stale(scene: Scene) -> None:
    """`defer("status")`, `save()` of another field after somebody else's change."""
    deferred = scene.objects.defer("status").get(pk=scene.subject.pk)
    scene.objects.update(status="active")
    deferred.name = "Countess"
    deferred.save()


@makes(TRIAL_ACTIVE)
def save_an_expression(scene: Scene) -> None:
    """`save()` of `Case(When(…))`."""
    scene.subject.status = Case(When(status="trial", then=Value("active")), default=F("status"))
    scene.subject.save()


@makes()
def save_an_expression_that_changes_nothing(scene: Scene) -> None:
    """`save()` of `F("status")`."""
    scene.subject.status = F("status")
    scene.subject.save()


@makes(TRIAL_ACTIVE)
def stale_copy_same(scene: Scene) -> None:
    """Two copies saved to the same state."""
    stale = scene.objects.get(pk=scene.subject.pk)
    for copied in (scene.subject, stale):
        copied.status = "active"
        copied.save()


@makes(TRIAL_ACTIVE, ("active", "paused"))
def stale_copy_other(scene: Scene) -> None:
    """Two copies saved to different states."""
    stale = scene.objects.get(pk=scene.subject.pk)
    for copied, status in ((scene.subject, "active"), (stale, "paused")):
        copied.status = status
        copied.save()


@makes(TRIAL_ACTIVE, ("active", "trial"))
def stale_copy_reverts(scene: Scene) -> None:
    """A stale copy that silently takes a change back."""
    stale = scene.objects.get(pk=scene.subject.pk)
    scene.subject.status = "active"
    scene.subject.save()
    stale.name = "Countess"
    stale.save()


@makes(ARRIVES)
def clone(scene: Scene) -> None:
    """A clone: `pk = None`, `_state.adding = True`, `save()`."""
    copied = copy.copy(scene.subject)
    copied.pk, copied._state.adding = None, True
    copied.save()


@makes(TRIAL_ACTIVE)
def save_a_copy(scene: Scene) -> None:
    """`copy.copy()`, changed, `save()`."""
    copied = copy.copy(scene.subject)
    copied.status = "active"
    copied.save()


@makes(TRIAL_ACTIVE)
def save_a_deep_copy(scene: Scene) -> None:
    """`copy.deepcopy()`, changed, `save()`."""
    copied = copy.deepcopy(scene.subject)
    copied.status = "active"
    copied.save()


@makes(TRIAL_ACTIVE)
def save_a_pickled_one(scene: Scene) -> None:
    """Pickled and unpickled, changed, `save()`."""
    loaded = pickle.loads(pickle.dumps(scene.subject))  # noqa: S301 - our own
    loaded.status = "active"
    loaded.save()


@makes(TRIAL_ACTIVE)
def save_from_nothing_read(scene: Scene) -> None:
    """`Model(pk=…, …).save()` over a row that is there."""
    scene.new(pk=scene.subject.pk, status="active").save()


@makes(TRIAL_ACTIVE)
def save_base_raw(scene: Scene) -> None:
    """`save_base(raw=True)`, as fixtures are saved."""
    scene.subject.status = "active"
    scene.subject.save_base(raw=True)


@makes(TRIAL_ACTIVE)
def deserialize(scene: Scene) -> None:
    """`serializers.deserialize()`, `save()`."""
    scene.subject.status = "active"
    for found in serializers.deserialize("json", serializers.serialize("json", [scene.subject])):
        found.save()


@makes(LEAVES)
def save_outside(scene: Scene) -> None:
    """`save()` of a state that no stock holds."""
    scene.subject.status = "lost"
    scene.subject.save()


@makes(ARRIVES)
def save_with_another_key(scene: Scene) -> None:
    """`pk = 1000`, `save()`: a second row, and the first one stays."""
    scene.subject.pk += 1000
    scene.subject.save()


@makes(LEAVES)
def delete(scene: Scene) -> None:
    """`delete()`."""
    scene.subject.delete()


@makes(LEAVES, ARRIVES)
def delete_and_save_again(scene: Scene) -> None:
    """`delete()`, `save()` under the same key."""
    pk = scene.subject.pk
    scene.subject.delete()
    scene.subject.pk = pk
    scene.subject.save()


@makes(TRIAL_ACTIVE)
def lock_and_save(scene: Scene) -> None:
    """`select_for_update()`, changed, `save()`."""
    with transaction.atomic():
        locked = scene.objects.select_for_update().get(pk=scene.subject.pk)
        locked.status = "active"
        locked.save()


@makes(ARRIVES)
def get_or_create_new(scene: Scene) -> None:
    """`get_or_create()`, created."""
    scene.objects.get_or_create(name="Eve")


@makes()
def get_or_create_found(scene: Scene) -> None:
    """`get_or_create()`, found."""
    scene.objects.get_or_create(name="Ada", defaults={"status": "active"})


@makes(("", "active"))
def update_or_create_new(scene: Scene) -> None:
    """`update_or_create()`, created."""
    scene.objects.update_or_create(name="Eve", defaults={"status": "active"})


@makes(TRIAL_ACTIVE)
def update_or_create_found(scene: Scene) -> None:
    """`update_or_create()`, updated."""
    scene.objects.update_or_create(name="Ada", defaults={"status": "active"})
