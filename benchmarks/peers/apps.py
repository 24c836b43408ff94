"""Which of them are there: known before Django is set up."""

from __future__ import annotations

from importlib.util import find_spec

APPS = {
    "pghistory": ("pgtrigger", "pghistory", "benchmarks.peers.by_pghistory"),
    "simple_history": ("simple_history", "benchmarks.peers.by_simple_history"),
    "auditlog": ("auditlog", "benchmarks.peers.by_auditlog"),
    "model_utils": ("benchmarks.peers.by_field_tracker",),
}
"""What must be installed → the apps that it needs."""


def there(database: str) -> list[str]:
    """The keys of APPS that are installed and work on that database."""
    return [name for name in APPS if find_spec(name) and (name != "pghistory" or database == "postgresql")]
