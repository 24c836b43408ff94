"""Wiring: what happens when Django starts, and nothing else."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy


class StockAndFlowConfig(AppConfig):
    """The app: finds the project's declarations, and keeps their capture right over migrations."""

    name = "stockandflow"
    verbose_name = gettext_lazy("Stocks and flows")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from stockandflow import automation, distributed
        from stockandflow.capture import after_migrate, before_migrate, connect, disconnect, open_trackers
        from stockandflow.checks import register
        from stockandflow.periodic import built_in, schedule
        from stockandflow.registry import registry

        def before(using: str, plan: list[Any], apps: Any, **_: Any) -> None:
            before_migrate(registry, using, plan, apps)

        def after(using: str, **kwargs: Any) -> None:
            after_migrate(registry, using, flushed="plan" not in kwargs)
            open_trackers(registry, using)

        register()
        pre_migrate.connect(before, sender=self, weak=False, dispatch_uid="stockandflow.capture")
        post_migrate.connect(after, sender=self, weak=False, dispatch_uid="stockandflow.capture")
        registry.autodiscover(schedule.transaction)
        registry.on_tracker(connect, disconnect)
        automation.connect(registry, distributed.wake)
        built_in(schedule, registry)
        distributed.connect()
