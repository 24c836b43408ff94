"""What the admin only shows, and lists by date that every database can draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import connections
from django.http import HttpRequest
from django.utils.timezone import get_current_timezone_name

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class ReadOnly:
    """A mixin for what only the app writes: whoever may view it sees it, and nobody changes it by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DatedAdmin(ModelAdmin):
    """An admin whose list has its date hierarchy wherever the database can tell the days of the time zone."""

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """As Django's, without the date hierarchy where it would fail.

        MariaDB knows no time zone but UTC until its tables of zones are loaded, and Django raises on every page then.
        """
        changelist = super().get_changelist_instance(request)
        connection = connections[changelist.queryset.db]
        zones_differ = connection.timezone_name != get_current_timezone_name()
        if changelist.date_hierarchy and zones_differ and not connection.features.has_zoneinfo_database:
            changelist.date_hierarchy = None
        return changelist
