"""How django-simple-history's records are read."""

from __future__ import annotations

from typing import Any

from simple_history.utils import bulk_create_with_history

from benchmarks.peers.by_simple_history import models
from benchmarks.peers.peer import Peer, from_snapshots
from tests.write_paths.scene import Cast, Move, Role

CAST = Cast.of(models)


def log(model: Any) -> Any:
    return model.history.model


def moves(role: Role, using: str) -> list[Move]:
    """Of a subject from its own records, its children's and its proxies', in the order of time."""
    model: Any = getattr(CAST, role)
    found = {log(other) for other in ([model, CAST.child, CAST.proxy] if role == "subject" else [model])}
    fields = ("history_date", "history_id", model._meta.pk.name, "status", "history_type")
    rows = sorted(row for one in found for row in one._default_manager.using(using).values_list(*fields))
    return from_snapshots((key, status, kind == "-") for _, _, key, status, kind in rows)


PEERS = [
    Peer(
        name="django-simple-history",
        distribution="django-simple-history",
        subscription=models.Subscription,
        cast=CAST,
        logs=tuple(
            {
                log(model): None
                for model in (
                    models.Subscription,
                    models.Subject,
                    models.Child,
                    models.Proxy,
                    models.Kept,
                    models.Coded,
                    models.Identified,
                )
            }
        ),
        refusable={"subject": log(models.Subject)},
        moves=moves,
        bulk_create=lambda new: bulk_create_with_history(new, models.Subscription),
    )
]
