"""Items with a column of every kind, what they belong to and consist of, and event models good and bad."""

from __future__ import annotations

from django.db import connection, models

from stockandflow.capture.querysets import TrackedQuerySet
from stockandflow.models import FlowEvent, SubjectForeignKey

# One that takes small and large letters for the same, where the database has one ready.
COLLATION = {"sqlite": "nocase", "postgresql": "C", "mysql": "utf8mb4_general_ci"}[connection.vendor]


class Owner(models.Model):
    """Whom items belong to."""

    name = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return str(self.name)


class ItemQuerySet(models.QuerySet["Item"]):
    """What projects add: verbs of their own."""

    def paint(self, text: str) -> int:
        return self.update(text=text)


class Item(models.Model):
    """A thing with a column of every kind, each of which may be NULL; some have names that SQL takes for its own."""

    class Size(models.IntegerChoices):
        """How big it is."""

        SMALL = 1, "Small"
        LARGE = 2, "Large"

    text = models.CharField(max_length=300, null=True, blank=True)  # noqa: DJ001
    number = models.IntegerField(null=True, blank=True, db_column="order")
    size = models.IntegerField(null=True, blank=True, choices=Size)
    flag = models.BooleanField(null=True, blank=True)
    day = models.DateField(null=True, blank=True, db_column="now")
    moment = models.DateTimeField(null=True, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    ratio = models.FloatField(null=True, blank=True)
    code = models.UUIDField(null=True, blank=True)
    data = models.JSONField(null=True, blank=True)
    nick = models.CharField(max_length=20, null=True, blank=True, db_collation=COLLATION)  # noqa: DJ001
    owner = models.ForeignKey(Owner, models.CASCADE, null=True, blank=True, related_name="items")

    objects = ItemQuerySet.as_manager()

    def __str__(self) -> str:
        return f"item {self.pk}"


class BigItem(Item):
    """A child in a table of its own."""

    weight = models.IntegerField(default=1)


class SpecialItem(Item):
    """The same rows under another class."""

    class Meta:
        proxy = True


class Part(models.Model):
    """An item has several."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="parts")
    kind = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001
    weight = models.IntegerField(default=1)

    def __str__(self) -> str:
        return str(self.kind)


class Label(models.Model):
    """An item has one, or none."""

    item = models.OneToOneField(Item, models.CASCADE, related_name="label")
    code = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.code


class Seat(models.Model):
    """A thing that only a pair of columns names."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.row}/{self.number}"


class Desk(models.Model):
    """Where tickets lie."""

    name = models.CharField(max_length=20, default="front")

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """A thing whose bulk writes are captured, also where signals serve its trackers."""

    code = models.CharField(max_length=20, null=True, blank=True, unique=True)
    rank = models.IntegerField(null=True, blank=True)
    flag = models.BooleanField(null=True, blank=True)
    note = models.CharField(max_length=20, default="", blank=True)
    due = models.DateTimeField(null=True, blank=True)
    data = models.JSONField(null=True, blank=True)
    desk = models.ForeignKey(Desk, models.SET_NULL, null=True, blank=True, related_name="tickets")

    objects = TrackedQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"ticket {self.pk}"


class BigTicket(Ticket):
    """A child in a table of its own."""

    weight = models.IntegerField(default=1)


class LateTicket(Ticket):
    """The same rows under another class."""

    class Meta:
        proxy = True


class TicketFlowEvent(FlowEvent):
    """A ticket's move."""

    subject = SubjectForeignKey(Ticket)


class ItemFlowEvent(FlowEvent):
    """An item's move."""

    subject = SubjectForeignKey(Item)


class OwnerFlowEvent(FlowEvent):
    """An owner's move."""

    subject = SubjectForeignKey(Owner)


class SubjectlessEvent(FlowEvent):
    """Wrong: nobody knows who moved."""


class ForeignKeyEvent(FlowEvent):
    """Wrong: an item that has moved can't be deleted without its history."""

    subject = models.ForeignKey(Item, models.CASCADE, related_name="+")


class DemandingEvent(FlowEvent):
    """Wrong: the database, which writes events, can't fill the note."""

    subject = SubjectForeignKey(Item)
    note = models.CharField(max_length=20)
