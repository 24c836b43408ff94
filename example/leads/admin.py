"""Leads in the ordinary admin, and in that of the stocks and flows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from example.admin_site import site
from example.leads.models import Lead
from example.leads.stocksandflows import flows, stocks


@admin.register(Lead)
class LeadAdmin(admin.ModelAdmin):
    list_display = ["name", "email", "source", "status", "last_contact_at"]
    list_filter = ["status", "source"]
    search_fields = ["name", "email"]
    raw_id_fields = ["member"]


@admin.action(description="Note a contact", permissions=["change"])
def contact(model_admin: Any, request: HttpRequest, leads: QuerySet[Lead]) -> None:
    for lead in leads:
        lead.contact()
    model_admin.message_user(request, f"{len(leads)} contacted.")


for stock in stocks:
    site.register_stock(
        stock,
        {
            "list_display": ["name", "email", "source", "last_contact_at"],
            "list_filter": ["source"],
            "search_fields": ["name", "email"],
            "raw_id_fields": ["member"],
            "actions": [contact],
        },
    )
for flow in flows:
    site.register_flow(flow)
