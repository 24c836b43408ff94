"""One subject in every shape that Django allows, with what surrounds it."""

from __future__ import annotations

import uuid

from django.db import models

from stockandflow.capture.querysets import TrackedQuerySet
from stockandflow.models import FlowEvent, SubjectForeignKey

BY_DATABASE = getattr(models, "DB_CASCADE", models.CASCADE)
"""The database's own cascade, which Django has from 6.1 on."""


class Plan(models.Model):
    """What a subject pays for; whether it is paid decides the membership of others."""

    name = models.CharField(max_length=50)
    paid = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class Owner(models.Model):
    """Takes its subjects along when it goes."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Keeper(models.Model):
    """As an owner, but the database does it by itself."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Subject(models.Model):
    """The plain case: it stands where its status says."""

    name = models.CharField(max_length=50)
    code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001
    status = models.CharField(max_length=50, default="trial")
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, related_name="+")
    owner = models.ForeignKey(Owner, models.CASCADE, null=True, related_name="subjects")

    objects = TrackedQuerySet.as_manager()  # for where signals capture it; triggers don't need it

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name


class Child(Subject):
    """A subject with a table of its own besides."""

    seats = models.IntegerField(default=1)


class Proxy(Subject):
    """The same rows under another class."""

    class Meta:
        proxy = True


class Kept(models.Model):
    """A subject that goes with its keeper, of which Django knows nothing."""

    name = models.CharField(max_length=50)
    status = models.CharField(max_length=50, default="trial")
    keeper = models.ForeignKey(Keeper, BY_DATABASE, null=True, related_name="+")

    def __str__(self) -> str:
        return self.name


class Coded(models.Model):
    """A subject whose key is a text."""

    code = models.CharField(max_length=20, primary_key=True)
    status = models.CharField(max_length=50, default="trial")

    def __str__(self) -> str:
        return self.code


class Identified(models.Model):
    """A subject whose key is a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    status = models.CharField(max_length=50, default="trial")

    def __str__(self) -> str:
        return str(self.id)


class Customer(models.Model):
    """A subject that pays where its plan is paid: another table decides."""

    name = models.CharField(max_length=50)
    plan = models.ForeignKey(Plan, models.CASCADE, null=True, related_name="+")

    def __str__(self) -> str:
        return self.name


class Label(models.Model):
    """What can be stuck onto articles."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Article(models.Model):
    """A subject that is marked where it has the label "hot": a table between decides, and the one behind it."""

    name = models.CharField(max_length=50)
    labels = models.ManyToManyField(Label, related_name="+")

    def __str__(self) -> str:
        return self.name


class Dated(models.Model):
    """A subject that is open until a moment: the clock decides."""

    name = models.CharField(max_length=50)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class SubjectFlowEvent(FlowEvent):
    """A move of a subject, of its children and of its proxies."""

    subject = SubjectForeignKey(Subject)


class KeptFlowEvent(FlowEvent):
    """A move of a kept subject."""

    subject = SubjectForeignKey(Kept)


class CodedFlowEvent(FlowEvent):
    """A move of a subject with a text as its key."""

    subject = SubjectForeignKey(Coded)


class IdentifiedFlowEvent(FlowEvent):
    """A move of a subject with a UUID as its key."""

    subject = SubjectForeignKey(Identified)


class CustomerFlowEvent(FlowEvent):
    """A move of a customer."""

    subject = SubjectForeignKey(Customer)


class ArticleFlowEvent(FlowEvent):
    """A move of an article."""

    subject = SubjectForeignKey(Article)


class DatedFlowEvent(FlowEvent):
    """A move of a dated subject."""

    subject = SubjectForeignKey(Dated)
