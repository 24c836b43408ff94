"""The pages that an admin site has of a stock's members, of a flow's events, and of one object."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from stockandflow.declarations import Flow, Stock
from stockandflow.membership.facets import NONE, OTHER
from stockandflow.site.columns import admin_of, mounted_sites, quoted


def admin_list_url(
    request: HttpRequest,
    of: Stock | Flow,
    slice_: Mapping[str, str],
    lookups: Mapping[str, str] | None = None,
) -> str:
    """The address of the list that an admin site has of a stock or flow, "" where none has, or not for this user.

    ``slice_`` is facet slug → value key, and is left out where that admin doesn't filter by it; ``lookups`` are
    filters on the rows' own columns.
    """
    shown = admin_of(request, of)
    if (
        shown is None
        or not shown.admin_site.has_permission(request)
        or not shown.has_view_permission(request)
    ):
        return ""
    asked = dict(lookups or {})
    model = of.model if isinstance(of, Stock) else of.flow_event_model
    for slug, key in slice_.items():
        facet = next((one for one in of.applied_facets if one.slug == slug), None)
        if facet is None or key == OTHER or facet.column(model).condition:
            continue
        lookup, value = (f"{facet.lookup}__isnull", "True") if key == NONE else (facet.lookup, key)
        if shown.lookup_allowed(lookup, value, request):
            asked[lookup] = value
    options = shown.opts
    try:
        place = reverse(f"{shown.admin_site.name}:{options.app_label}_{options.model_name}_changelist")
    except NoReverseMatch:
        return ""  # the site isn't among the project's addresses
    return f"{place}?{urlencode(asked)}" if asked else place


def admin_object_url(request: HttpRequest, subject: Model) -> str:
    """The address of an object's own page in an admin site, "" where none has one, or not for this user. No query."""
    kind, options = type(subject), subject._meta
    for site in mounted_sites(request):
        if (
            site.is_registered(kind)
            and site.has_permission(request)
            and site.get_model_admin(kind).has_view_or_change_permission(request, subject)
        ):
            place = f"{site.name}:{options.app_label}_{options.model_name}_change"
            return reverse(place, args=[quoted(subject.pk)])
    return ""
