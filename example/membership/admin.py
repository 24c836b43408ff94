"""Members in the ordinary admin, and in that of the stocks and flows, where each stock has actions of its own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from example.admin_site import site
from example.membership.models import Member, MemberQuerySet, Plan, WelcomeNote
from example.membership.stocksandflows import active, churned, flows, past_due, paused, trial


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ["name", "monthly_price"]


@admin.register(Member)
class MemberAdmin(admin.ModelAdmin):
    list_display = ["name", "email", "plan", "country", "status", "status_since"]
    list_filter = ["status", "plan", "country"]
    list_select_related = ["plan"]
    search_fields = ["name", "email"]


@admin.register(WelcomeNote)
class WelcomeNoteAdmin(admin.ModelAdmin):
    list_display = ["member", "written_at"]
    list_select_related = ["member"]
    raw_id_fields = ["member"]


@admin.action(description="Convert", permissions=["change"])
def convert(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.convert()} converted.")


@admin.action(description="Pause", permissions=["change"])
def pause(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.pause()} paused.")


@admin.action(description="Resume", permissions=["change"])
def resume(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.resume()} resumed.")


@admin.action(description="Mark paid", permissions=["change"])
def mark_paid(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.mark_paid()} marked paid.")


@admin.action(description="Give up on the payment", permissions=["change"])
def churn(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.churn()} churned.")


@admin.action(description="Reactivate", permissions=["change"])
def reactivate(model_admin: Any, request: HttpRequest, members: MemberQuerySet) -> None:
    model_admin.message_user(request, f"{members.reactivate()} reactivated.")


class Writing:
    """What one may want to do with the members of any stock."""

    actions = ["list_addresses"]

    @admin.action(description="List the e-mail addresses", permissions=["view"])
    def list_addresses(self, request: HttpRequest, members: MemberQuerySet) -> HttpResponse:
        addresses = members.order_by("email").values_list("email", flat=True)
        return HttpResponse("\n".join(addresses), content_type="text/plain")


for stock, actions in [
    (trial, [convert]),
    (active, [pause]),
    (paused, [resume]),
    (past_due, [mark_paid, churn]),
    (churned, [reactivate]),
]:
    site.register_stock(
        stock,
        {
            "list_display": ["name", "email", "plan", "country", "status_since"],
            "list_filter": ["plan", "country"],
            "list_select_related": ["plan"],
            "search_fields": ["name", "email"],
            "actions": actions,
        },
        action_mixins=[Writing],
    )
for flow in flows:
    site.register_flow(flow)
