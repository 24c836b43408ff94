"""Who calls: a session, or a program with a token for this path; and whose numbers it may take away."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from stockandflow.api.refusals import Refused
from stockandflow.declarations import Process
from stockandflow.models import ApiToken
from stockandflow.registry import registry
from stockandflow.site.access import EXPORTING, is_scoped, may_export, process_or_404
from stockandflow.site.frames import page_url

WANTED = "log in, or send the header 'Authorization: Bearer' with a token for this path"


def identify(request: HttpRequest, *, basic: bool = False) -> None:
    """Know the caller, and have ``request.user`` be it. Raises Refused for nobody, and a token that doesn't cover it.

    A header ``Authorization`` stands before the session, so that a program with a token that is no longer valid is told
    so. With ``basic`` the token may be the user name of HTTP's basic scheme, as wallboards send it. One query for a
    token, one for its user, and one to note its use, at most once an hour.
    """
    if header := request.headers.get("Authorization", ""):
        request.user = _user_of(request, _shown(header, basic=basic))
    elif not getattr(request, "user", None) or not request.user.is_authenticated:
        raise Refused(401, "unauthorized", f"Nobody is logged in, and no token was sent; {WANTED}.")


def whole(request: HttpRequest, slug: str) -> Process:
    """The process whose stored numbers the caller may take away, as a file of its page.

    Raises Http404 for one that the caller may not see, and PermissionDenied without the permission to export it and
    where the request sees but a part of its objects: records aren't kept for a part.
    """
    process = process_or_404(request.user, registry, slug)
    if not may_export(request.user, process):
        raise PermissionDenied(
            f"You may see the pages of the process {slug!r}, but not take its numbers away; ask for {EXPORTING} and "
            "the permission to view the models of its stocks."
        )
    if is_scoped(request, process):
        raise PermissionDenied(
            f"You see a part of the objects of the process {slug!r}, and its records aren't kept for a part; ask "
            "as somebody who sees them all."
        )
    return process


@sensitive_variables()
def _shown(header: str, *, basic: bool) -> str:
    """The token in the header."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if basic and scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[0]
        except ValueError as error:  # no base64, no UTF-8, or no ASCII to begin with
            raise Refused(
                401, "unauthorized", f"The header 'Authorization' can't be read; {WANTED}."
            ) from error
    raise Refused(401, "unauthorized", f"The header 'Authorization' has the scheme {scheme!r}; {WANTED}.")


@sensitive_variables()
def _user_of(request: HttpRequest, shown: str) -> Any:
    now = timezone.now()
    token = ApiToken.objects.known(shown, now)
    model = get_user_model()
    user = None if token is None else model._default_manager.filter(pk=token.user_key).first()
    if token is None or user is None or not user.is_active:
        raise Refused(
            401,
            "unauthorized",
            "The token isn't known, was revoked or has expired, or its user is gone; make another one.",
        )
    path = request.path.removeprefix(page_url(request, "index"))
    if not token.covers(path):
        covered = ", ".join(map(repr, token.paths.splitlines()))
        raise Refused(
            403, "forbidden", f"The path is {path!r}, and the token is for {covered}; make one for this path."
        )
    ApiToken.objects.used(token, now)
    return user
