"""Users by what they may do."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User

LISTS = ("view_process", "list_objects", "view_member", "view_ticket")
ACTS = (*LISTS, "act_on_objects", "change_member")


def user_with(*codenames: str, name: str = "someone") -> User:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user
