"""Users by what they may do."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User

LISTS = ("view_process", "list_objects", "view_member", "view_ticket")
ACTS = (*LISTS, "act_on_objects", "change_member")
EXPORTER = ("view_process", "export_process", "view_member")


def user_with(*codenames: str, name: str = "", **fields: Any) -> User:
    """A user with these permissions, called by them unless ``name`` says otherwise."""
    user = User.objects.create_user(name or "-".join(codenames)[:140] or "nobody", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user
