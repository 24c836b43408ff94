"""Wiring: what happens when Django starts, and nothing else."""

from __future__ import annotations

from django.apps import AppConfig


class StockAndFlowConfig(AppConfig):
    """The app; its ``ready`` finds the project's declarations."""

    name = "stockandflow"
    verbose_name = "Stocks and flows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from stockandflow.registry import registry

        registry.autodiscover()
