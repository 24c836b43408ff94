"""Orders, which move, and the customers who take their orders with them.

The migrations beside this module change the orders' table, and no column that comes and goes is known here: as in any
project whose processes go on working while it is migrated.
"""

from __future__ import annotations

from django.db import models

from stockandflow.models import FlowEvent, SubjectForeignKey

STATUSES = ("draft", "open", "paid", "shipped", "lost")
"""The last one is that of no stock."""


class Customer(models.Model):
    """Whose deletion deletes the orders."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """A subject in which two columns decide."""

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    code = models.CharField(max_length=50, null=True, unique=True)  # noqa: DJ001
    status = models.CharField(max_length=50, default="draft", db_index=True)
    amount = models.IntegerField(default=1)

    def __str__(self) -> str:
        return f"order {self.pk}"


class OrderFlowEvent(FlowEvent):
    """An order's move."""

    subject = SubjectForeignKey(Order)

    class Meta(FlowEvent.Meta):
        indexes = [models.Index(fields=["subject", "timestamp"], name="soak_event_subject")]
