"""How django-auditlog's entries are read."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry

from benchmarks.peers.by_auditlog import models
from benchmarks.peers.peer import Peer, stock
from tests.write_paths.scene import Cast, Move, Role

CAST = Cast.of(models)


def moves(role: Role, using: str) -> list[Move]:
    """One entry for a child's deletion and one for its parent's tell the same."""
    model: Any = getattr(CAST, role)
    names = ["subject", "child", "proxy"] if role == "subject" else [model._meta.model_name]
    entries = LogEntry.objects.using(using).filter(content_type__app_label="by_auditlog")
    entries = entries.filter(content_type__model__in=names, changes__has_key="status").order_by("pk")
    found: list[Move] = []
    gone: set[str] = set()
    for key, action, changes in entries.values_list("object_pk", "action", "changes"):
        if action == LogEntry.Action.DELETE and key in gone:
            continue
        (gone.add if action == LogEntry.Action.DELETE else gone.discard)(key)
        source, sink = (stock(value) for value in changes["status"])
        if source != sink:
            found.append((source, sink))
    return found


PEERS = [
    Peer(
        name="django-auditlog",
        distribution="django-auditlog",
        subscription=models.Subscription,
        cast=CAST,
        logs=(LogEntry,),
        refusable={"subject": LogEntry},
        moves=moves,
    )
]
