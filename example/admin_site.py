"""The admin site of the stocks and flows, beside the ordinary one; the apps' ``admin`` modules fill it."""

from __future__ import annotations

from stockandflow.admin import StockAndFlowAdminSite

site = StockAndFlowAdminSite()
