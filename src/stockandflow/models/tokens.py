"""Tokens: what a program shows in place of a session, for the addresses that it was made for and no others."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from stockandflow.exceptions import InvalidInput
from stockandflow.periods import aware

PREFIX = "sf"
KEY = re.compile(r"[0-9a-f]{16}")
ROOTS = ("api/v1", "metrics", "feeds")
"""Below these a token can be used; the pages are for people."""
USE_IS_TOLD_BY = timedelta(hours=1)
"""So coarse is the instant of the last use, so that a program that asks every second doesn't write every second."""


class ApiTokenManager(models.Manager["ApiToken"]):
    """Makes tokens, and knows them again."""

    def issue(
        self, name: str, user: Any, paths: Iterable[str], *, expires_at: datetime | None = None
    ) -> tuple[ApiToken, str]:
        """Make a token that acts for the user below these paths; with its secret, which is kept nowhere. One query.

        Raises InvalidInput for a path that no token can be used below, and where there is none, for a user that isn't
        saved, and a naive ``expires_at``.
        """
        if getattr(user, "pk", None) is None:
            raise InvalidInput(f"user is {user!r}; give a saved user, for whom the token is to act.")
        key, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        token = self.create(
            name=name,
            user_key=str(user.pk),
            paths="\n".join(checked_paths(paths)),
            key=key,
            digest=_digest(secret),
            expires_at=None if expires_at is None else aware(expires_at, "expires_at"),
        )
        return token, f"{PREFIX}_{key}_{secret}"

    def known(self, shown: str, now: datetime) -> ApiToken | None:
        """The token that was shown, None where there is none, or it was revoked or has expired. One query."""
        _, _, rest = shown.partition("_")
        key, _, secret = rest.partition("_")
        # No other text is asked for: a NUL, for one, is an error to PostgreSQL.
        token = self.filter(key=key if KEY.fullmatch(key) else "").first()
        # An unknown key takes as long to refuse as a wrong secret.
        same = compare_digest(token.digest if token else _digest(key), _digest(secret))
        return token if token is not None and same and token.is_valid(now) else None

    def used(self, token: ApiToken, now: datetime) -> None:
        """Note that it was used, at most once an hour. One query then."""
        if token.last_used_at is None or token.last_used_at <= now - USE_IS_TOLD_BY:
            hour = now.replace(minute=0, second=0, microsecond=0)
            before = Q(last_used_at__isnull=True) | Q(last_used_at__lt=hour)
            self.filter(before, pk=token.pk).update(last_used_at=hour)


class ApiToken(models.Model):
    """A bearer token. Its secret is shown once, where it is made; what is kept of it can't be turned back into it."""

    name = models.CharField(
        gettext_lazy("name"), max_length=100, help_text=gettext_lazy("Who or what uses it.")
    )
    # No foreign key: without the pages, the app needs no django.contrib.auth.
    user_key = models.CharField(
        gettext_lazy("user key"), max_length=100, help_text=gettext_lazy("Key of the user for whom it acts.")
    )
    paths = models.TextField(
        gettext_lazy("paths"),
        help_text=gettext_lazy("What it is for: paths below those of the pages, one on each line."),
    )
    key = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(gettext_lazy("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(
        gettext_lazy("expires at"),
        null=True,
        blank=True,
        help_text=gettext_lazy("From then on it is refused."),
    )
    revoked_at = models.DateTimeField(
        gettext_lazy("revoked at"), null=True, blank=True, help_text=gettext_lazy("Since when it is refused.")
    )
    last_used_at = models.DateTimeField(
        gettext_lazy("last used at"), null=True, blank=True, help_text=gettext_lazy("To the hour.")
    )

    objects = ApiTokenManager()

    class Meta:
        verbose_name = gettext_lazy("API token")
        verbose_name_plural = gettext_lazy("API tokens")
        ordering = ("-created_at", "-id")
        default_permissions = ("view", "add", "change")
        # Metrics have no model of their own, and those who read them are programs with a token.
        permissions = [("view_metrics", "Can read the metrics")]

    def __str__(self) -> str:
        return f"{self.name} ({PREFIX}_{self.key}_…)"

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def covers(self, path: str) -> bool:
        """Whether it is for that path, one below those of the pages: ``api/v1/processes/membership``."""
        asked = path.strip("/")
        return any(asked == one or asked.startswith(f"{one}/") for one in self.paths.splitlines())


def checked_paths(paths: Iterable[str]) -> list[str]:
    """The paths without slashes at their ends; raises InvalidInput for one that no token can be used below."""
    given = [paths] if isinstance(paths, str) else list(paths)
    found = [path.strip().strip("/") for path in given if path.strip()]
    for path in found:
        if not any(path == root or path.startswith(f"{root}/") for root in ROOTS):
            raise InvalidInput(
                f"path is {path!r}; write one that begins with {', '.join(map(repr, ROOTS))}, e.g. "
                "'api/v1/processes/membership', or 'metrics'."
            )
    if not found:
        raise InvalidInput("paths is empty; name what the token is for, e.g. 'api/v1/processes/membership'.")
    return found


def _digest(secret: str) -> str:
    # The secret is long and random, so there is nothing that a slow hash would keep from being guessed.
    return sha256(secret.encode()).hexdigest()
