"""Where a page stands, alone or in an admin site's frame, and the addresses of the other pages there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import VERSION
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _

from stockandflow.site.embedding import TEMPLATE as EMBEDDED
from stockandflow.site.embedding import allow_embedding, is_embedded

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite  # the pages that stand alone do without the admin

ALONE = "stockandflow/base.html"
IN_ADMIN = "stockandflow/admin/base.html"
ADMIN = "stockandflow_admin"
"""The name of the admin site unless the project gives its own."""


def frame(request: HttpRequest, site: AdminSite) -> None:
    """Have the page that answers the request stand in the admin site's frame."""
    request.stockandflow_frame = site  # type: ignore[attr-defined]


def framed_by(request: HttpRequest) -> AdminSite | None:
    """The admin site in whose frame the page stands, None where it stands alone."""
    return getattr(request, "stockandflow_frame", None)


def page_url(request: HttpRequest, name: str, *args: Any) -> str:
    """The address of a page where this one stands: ``page_url(request, "stock", "membership", "active")``.

    The names are those in ``stockandflow.urls``.
    """
    match = request.resolver_match
    places = match.namespaces if match is not None and "stockandflow" in match.app_names else ["stockandflow"]
    return reverse(":".join([*places, name]), args=args)


def admin_url(request: HttpRequest, name: str, *args: Any) -> str:
    """The address of the page in the frame of the project's StockAndFlowAdminSite, "" where the user has no use for it.

    That is for who is no staff, where the page stands in a frame already, and in a project without such a site, or with
    one that has a name of its own.
    """
    if framed_by(request) is not None or not getattr(request.user, "is_staff", False):
        return ""
    try:
        return reverse(f"{ADMIN}:stockandflow:{name}", args=args)
    except NoReverseMatch:
        return ""


@dataclass(frozen=True)
class Crumb:
    """A page above this one."""

    name: str
    url: str


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    title: str,
    crumbs: Sequence[Crumb] = (),
    status: int = 200,
) -> HttpResponse:
    """A page in its frame, which the template extends: ``{% extends base %}``.

    ``crumbs`` are the pages above it, without the index, which stands above all but itself. No cache that people share
    may keep it.
    """
    site = framed_by(request)
    embedded = is_embedded(request) and status == 200  # what is refused is shown in nobody's frame
    alone = EMBEDDED if embedded else ALONE
    index = Crumb(_("Processes"), page_url(request, "index"))
    context = {
        **({"base": alone} if site is None else {**site.each_context(request), "base": IN_ADMIN}),
        "crumbs": [crumb for crumb in (index, *crumbs) if crumb.url != request.path],
        "crumbs_as_list": VERSION >= (6, 1),  # Django 5.2 and 6.0 style a div of links instead
        "request": request,
        "title": title,
        # Where the page itself says them, the frame of its own, or a project's in its place, doesn't say them again.
        **({"messages": ()} if site is None and "messages_here" in context else {}),
        **context,
    }
    response = render(request, template, context, status=status)
    patch_cache_control(response, private=True)
    return allow_embedding(response) if embedded and site is None else response
