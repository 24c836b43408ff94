"""How the events that follow a FieldTracker are read."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.by_field_tracker import models
from benchmarks.peers.peer import Peer
from tests.write_paths.scene import Cast, Move, Role

CAST = Cast.of(models)


def moves(role: Role, using: str) -> list[Move]:
    model: Any = getattr(CAST, role)
    kinds = [model, models.Child] if role == "subject" else [model]
    labels = [kind._meta.label_lower for kind in kinds]
    rows = models.Moved._default_manager.using(using).filter(model__in=labels).order_by("pk")
    return list(rows.values_list("source", "sink"))


PEERS = [
    Peer(
        name="FieldTracker",
        distribution="django-model-utils",
        subscription=models.Subscription,
        cast=CAST,
        logs=(models.Moved,),
        refusable={"subject": models.Moved},
        moves=moves,
    )
]
