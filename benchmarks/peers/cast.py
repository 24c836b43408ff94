"""The models of the write paths, abstract: each app here has them once, and tracks them its own way.

They are those of ``tests.write_paths.models``, whose paths are run; the references are to the models of the same app.
"""

from __future__ import annotations

import uuid

from django.db import models

BY_DATABASE = getattr(models, "DB_CASCADE", models.CASCADE)


class Named(models.Model):
    """What has a name and is tracked by nobody."""

    name = models.CharField(max_length=50)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Priced(Named):
    """A plan."""

    paid = models.BooleanField(default=False)

    class Meta:
        abstract = True


class Standing(models.Model):
    """What stands where its status says."""

    status = models.CharField(max_length=50, default="trial")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.pk}: {self.status}"


class ASubject(Standing):
    """The plain case."""

    name = models.CharField(max_length=50)
    code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001
    plan = models.ForeignKey("Plan", models.SET_NULL, null=True, related_name="+")
    owner = models.ForeignKey("Owner", models.CASCADE, null=True, related_name="subjects")

    class Meta:
        abstract = True


class AKept(Standing):
    """One that the database itself deletes with its keeper."""

    name = models.CharField(max_length=50)
    keeper = models.ForeignKey("Keeper", BY_DATABASE, null=True, related_name="+")

    class Meta:
        abstract = True


class ACoded(Standing):
    """One whose key is a text."""

    code = models.CharField(max_length=20, primary_key=True)

    class Meta:
        abstract = True


class AnIdentified(Standing):
    """One whose key is a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        abstract = True
