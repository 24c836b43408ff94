"""Regions by a text of their own, parcels by UUID, cases with a state, and badges that items share."""

from __future__ import annotations

import uuid

from django.db import models

from stockandflow.models import FlowEvent, SubjectForeignKey
from tests.testapp.models import BigItem, Item, Owner, Part


class Region(models.Model):
    """A thing whose key is a text of its own."""

    code = models.CharField(max_length=20, primary_key=True)
    status = models.CharField(max_length=20, default="planned")

    def __str__(self) -> str:
        return self.code


class RegionFlowEvent(FlowEvent):
    """A region's move."""

    subject = SubjectForeignKey(Region)


class Parcel(models.Model):
    """A thing whose key is a UUID, with columns that databases write in different ways."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    status = models.CharField(max_length=20, default="packed")
    batch = models.UUIDField(null=True, blank=True)
    region = models.ForeignKey(Region, models.CASCADE, null=True, blank=True, related_name="+")
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="+")
    weight = models.FloatField(null=True, blank=True)
    at_noon = models.TimeField(null=True, blank=True)
    notes = models.JSONField(null=True, blank=True)

    def __str__(self) -> str:
        return str(self.id)


class ParcelFlowEvent(FlowEvent):
    """A parcel's move."""

    subject = SubjectForeignKey(Parcel)


class BigItemFlowEvent(FlowEvent):
    """The move of a child, by what is in the child's own table."""

    subject = SubjectForeignKey(BigItem)


class Case(models.Model):
    """What a log is about: a thing with a key of its own and a state."""

    code = models.CharField(max_length=20, primary_key=True)
    state = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.code


class CaseFlowEvent(FlowEvent):
    """A case's move."""

    subject = SubjectForeignKey(Case)


class Badge(models.Model):
    """Items have several, and share them."""

    name = models.CharField(max_length=20)
    maker = models.ForeignKey(Owner, models.SET_NULL, null=True, blank=True, related_name="+")
    items = models.ManyToManyField(Item, related_name="badges")

    def __str__(self) -> str:
        return self.name


class PartFlowEvent(FlowEvent):
    """A part's move, by what is in other tables."""

    subject = SubjectForeignKey(Part)


class Voucher(models.Model):
    """A thing that its events know by another key than its primary one."""

    code = models.CharField(max_length=20, unique=True)
    state = models.CharField(max_length=20, default="new")
    owner = models.ForeignKey(Owner, models.SET_NULL, null=True, blank=True, related_name="+")

    def __str__(self) -> str:
        return f"voucher {self.code}"


class VoucherFlowEvent(FlowEvent):
    """A voucher's move."""

    subject = SubjectForeignKey(Voucher, to_field="code")
