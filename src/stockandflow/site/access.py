"""Who may see which process: one that a user may not see is hidden, and answers as if it didn't exist."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from stockandflow.declarations import Process
from stockandflow.exceptions import UnknownSlug
from stockandflow.registry import Registry

PERMISSION = "stockandflow.view_process"
"""Needed to see a process that names no permission of its own."""

User = AnonymousUser | Any
"""Whatever the project's user model is, with ``has_perm``."""


def may_view(user: User, process: Process) -> bool:
    """Whether the user has the process's permission. Two queries for a user's first question, none for the next."""
    return bool(user.has_perm(process.permission or PERMISSION))


def visible(user: User, registry: Registry) -> list[Process]:
    """The processes that the user may see, in registered order."""
    return [process for process in registry.processes if may_view(user, process)]


def process_or_404(user: User, registry: Registry, slug: str) -> Process:
    """The process with that slug; Http404, with one text for both, where there is none or the user may not see it."""
    try:
        process = registry.process(slug)
    except UnknownSlug:
        process = None
    if process is None or not may_view(user, process):
        raise Http404(f"There is no process {slug!r}.")
    return process
