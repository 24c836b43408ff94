"""Building what the demonstration shows: an imported past with its records, a live today, and one uncaptured change."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from random import Random
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from example.demo.past import import_history
from example.demo.records import derive_records
from example.demo.simulation import Rules, simulate
from example.demo.today import live_today, maintain
from example.leads import decay
from example.membership.automation import KEPT_AFTER_CHURN

RULES = Rules(
    kept_after_churn=KEPT_AFTER_CHURN,
    lead_hot_for=decay.HOT_FOR,
    lead_warm_for=decay.WARM_FOR,
    lead_kept_for=decay.KEPT_FOR,
)
UNEXPLAINED = 3
"""How many rows are changed behind the capture's back."""

Step = Callable[[str], AbstractContextManager[object]]


def build(*, scale: float = 1.0, months: int = 18, seed: int = 2011, step: Step = nullcontext) -> None:
    """Fill the default database, which must be empty, with months of business up to now, all recorded.

    ``scale`` multiplies how many people come, 1 being about 15,000 of them; another ``seed`` makes another business of
    the same kind. Each part is done within ``step(<what it does>)``.
    """
    using = DEFAULT_DB_ALIAS
    with _no_garbage_collection():
        with step(f"Inventing {months} months of business"):
            zone = ZoneInfo(settings.TIME_ZONE)
            history = simulate(
                until=timezone.now(), zone=zone, rules=RULES, months=months, scale=scale, seed=seed
            )
        with step("Importing it: members, tickets, leads, and every move they made"):
            import_history(history, using)
        with step("Deriving a stock record a day from those moves"):
            derive_records(history.timeline.midnights(), using)
        with step("Living through today in ordinary model code, which is captured"):
            live_today(Random(seed))
        with step(f"Correcting {UNEXPLAINED} rows behind everybody's back"):
            maintain(UNEXPLAINED, using)
        with step("Running the schedule: nightly jobs, and recording of stocks and flows"):
            call_command("run_periodic_schedule", verbosity=0)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Hundreds of thousands of objects live at once here; looking through them again and again took 2/3 of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
