"""Wiring: what happens when Django starts, and nothing else."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class StockAndFlowConfig(AppConfig):
    """The app: finds the project's declarations, has them captured, and keeps the triggers right over migrations."""

    name = "stockandflow"
    verbose_name = "Stocks and flows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import stockandflow.capture as capture
        import stockandflow.checks as checks
        from stockandflow.registry import registry

        def before_migrate(using: str, plan: list[Any], **_: Any) -> None:
            capture.before_migrate(registry, using, plan)

        def after_migrate(using: str, **kwargs: Any) -> None:
            capture.after_migrate(registry, using, flushed="plan" not in kwargs)

        checks.register()
        pre_migrate.connect(before_migrate, sender=self, weak=False, dispatch_uid="stockandflow.capture")
        post_migrate.connect(after_migrate, sender=self, weak=False, dispatch_uid="stockandflow.capture")
        registry.autodiscover()
        registry.on_tracker(capture.connect)
