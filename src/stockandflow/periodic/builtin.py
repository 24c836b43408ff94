"""The entries that every project has.

Sweeping, recording what is registered, delivering events to their callables, and deleting what is too old to be kept.
"""

from __future__ import annotations

from collections.abc import Callable

from stockandflow import recording
from stockandflow.automation import deliver, prune_deliveries
from stockandflow.capture import repair_due
from stockandflow.conf import conf
from stockandflow.exceptions import DeclarationError
from stockandflow.periodic.cron import Cron, frequency_of
from stockandflow.periodic.entries import Schedule
from stockandflow.periodic.frequencies import Frequency
from stockandflow.periodic.pruning import prune_runs
from stockandflow.recording import Recording
from stockandflow.registry import Registry

SWEEP = "stockandflow.sweep"
RECORD = "stockandflow.record"
DELIVER = "stockandflow.deliver"
PRUNE = "stockandflow.prune"


def built_in(schedule: Schedule, registry: Registry) -> None:
    """Register the four entries, as often as the settings say; with "never" they are there and never due.

    Sweeping comes before recording: what is recorded in the same run then holds what was missed. Pruning is daily,
    and deletes what the setting RETENTION names, and old runs and deliveries that are done.

    Raises DeclarationError when a setting is no frequency.
    """
    now = conf()
    schedule.register(
        _frequency("SWEEP_FREQUENCY", now.sweep_frequency),
        _sweep,
        [registry],
        name=SWEEP,
        atomic=False,
    )
    schedule.register(
        _frequency("RECORD_FREQUENCY", now.record_frequency),
        record,
        [registry],
        name=RECORD,
        atomic=False,
    )
    schedule.register(
        _frequency("DELIVER_FREQUENCY", now.deliver_frequency),
        _deliver,
        [registry],
        name=DELIVER,
        atomic=False,
    )
    schedule.register(Frequency.DAILY, _prune, [registry], name=PRUNE, atomic=False)


def record(registry: Registry) -> Callable[[], str]:
    """Record flows and count stocks now; gives the step that stores the counts and says what was recorded.

    Flow records may be computed any number of times. Stocks are counted in a snapshot of their own, and stored in the
    transaction that notes the period as done, with the levels derived from them: no period has two counts.
    """
    computed = recording.record_flows(registry)
    counted = recording.count(registry.stocks)
    derived = recording.derive(registry, counted=counted)

    def store() -> str:
        recording.note_definitions(registry, counted.at if counted else None)
        recording.store(counted)
        kept = None if derived is None else recording.keep(derived)
        return str(Recording.of(counted, computed, kept))

    return store


def _sweep(registry: Registry) -> str:
    done = repair_due(registry)
    looked = [one for one in done if not one.left_out]
    if not looked:
        return "nothing to sweep"
    found = sum(one.found for one in looked if not one.opened)
    return (
        f"{len(looked)} {'tracker' if len(looked) == 1 else 'trackers'} swept, "
        f"{found or 'no'} missing {'move' if found == 1 else 'moves'} found"
    )


def _prune(registry: Registry) -> str:
    done, age = recording.prune(registry), recording.Retention.of_settings().runs
    parts = [str(done)] if done else []
    if age is not None:
        runs, deliveries = prune_runs(age), prune_deliveries(registry, age)
        parts += [f"{runs:,} {'run' if runs == 1 else 'runs'}"] if runs else []
        parts += [f"{deliveries:,} {'delivery' if deliveries == 1 else 'deliveries'}"] if deliveries else []
    kept = [f"the events of {label} are kept: {'; '.join(why)}" for label, why in done.refused.items()]
    return ". ".join([f"{', '.join(parts) or 'nothing'} deleted", *kept])


def _deliver(registry: Registry) -> str:
    return str(deliver(registry))


def _frequency(key: str, value: str) -> Frequency | Cron:
    try:
        return frequency_of(value)
    except DeclarationError:
        raise
    except ValueError as error:
        raise DeclarationError(
            f"STOCKANDFLOW[{key!r}] is {value!r} in the settings, which is no frequency; write one of "
            f"{', '.join(repr(str(known)) for known in Frequency)}, or a cron expression."
        ) from error
