"""How django-pghistory's events are read."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from benchmarks.peers.by_pghistory import models
from benchmarks.peers.peer import Peer, from_snapshots
from tests.write_paths.scene import Cast, Move, Role

CAST = Cast.of(models)


def events(model: Any) -> Any:
    return apps.get_model("by_pghistory", f"{model.__name__}Event")


def moves(role: Role, using: str) -> list[Move]:
    rows = events(getattr(CAST, role))._default_manager.using(using).order_by("pgh_id")
    return from_snapshots(
        (key, status, label == "delete")
        for key, status, label in rows.values_list("pgh_obj_id", "status", "pgh_label")
    )


def peer(name: str, subscription: Any) -> Peer:
    return Peer(
        name=name,
        distribution="django-pghistory",
        subscription=subscription,
        cast=CAST,
        logs=tuple(
            events(model)
            for model in (subscription, models.Subject, models.Kept, models.Coded, models.Identified)
        ),
        refusable={"subject": events(models.Subject)},
        moves=moves,
    )


PEERS = [
    peer("django-pghistory", models.Subscription),
    peer("django-pghistory, by the statement", models.StatementSubscription),
]
