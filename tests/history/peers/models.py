"""One model for each package that keeps history, with the events that its history becomes."""

from __future__ import annotations

from typing import Any

import django_fsm
from django.db import connection, models
from simple_history.models import HistoricalRecords

from stockandflow.models import FlowEvent, SubjectForeignKey


class Contract(models.Model):
    """Each of its versions is kept by django-simple-history, and two columns say when something happened."""

    state = models.CharField(max_length=20, default="draft")
    size = models.IntegerField(default=1)
    region = models.CharField(max_length=20, blank=True, default="")
    signed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    signed_on = models.DateField(null=True, blank=True)
    # Without the foreign key to users: tables of apps without migrations are made before theirs.
    history = HistoricalRecords(
        excluded_fields=["region"], history_user_id_field=models.IntegerField(null=True, blank=True)
    )

    def __str__(self) -> str:
        return self.state


class ContractFlowEvent(FlowEvent):
    """A contract's move."""

    subject = SubjectForeignKey(Contract)


def _to(source: str, target: str) -> Any:
    """A transition that does nothing but change the state."""

    def change(claim: Claim) -> None:
        """Nothing else."""

    return django_fsm.transition(field="state", source=source, target=target)(change)


class Claim(models.Model):
    """Its transitions are kept by django-fsm-log."""

    state = django_fsm.FSMField(default="open")
    opened_at = models.DateTimeField()

    accept = _to("open", "accepted")
    pay = _to("accepted", "paid")

    def __str__(self) -> str:
        return str(self.state)


class ClaimFlowEvent(FlowEvent):
    """A claim's move."""

    subject = SubjectForeignKey(Claim)


if connection.vendor == "postgresql":
    import pghistory

    @pghistory.track(
        pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), context_field=None
    )
    class Loan(models.Model):
        """Its versions are kept by triggers of django-pghistory."""

        state = models.CharField(max_length=20, default="open")

        def __str__(self) -> str:
            return self.state

    class LoanFlowEvent(FlowEvent):
        """A loan's move."""

        subject = SubjectForeignKey(Loan)
