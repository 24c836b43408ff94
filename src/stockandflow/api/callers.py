"""Who calls: a session, or a program with a token for this path; and whose numbers it may take away."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from stockandflow.api.refusals import Refused
from stockandflow.declarations import Process
from stockandflow.models import ApiToken
from stockandflow.registry import registry
from stockandflow.site.access import EXPORTING, is_scoped, may_export, process_or_404
from stockandflow.site.frames import page_url


def identify(request: HttpRequest, *, basic: bool = False) -> None:
    """Know the caller, and have ``request.user`` be it. Raises Refused for nobody, and a token that doesn't cover it.

    A header ``Authorization`` stands before the session, so that a program with a token that is no longer valid is told
    so. With ``basic`` the token may be the user name of HTTP's basic scheme, as wallboards send it. One query for a
    token, one for its user, and one to note its use, at most once an hour.
    """
    if header := request.headers.get("Authorization", ""):
        request.user = _user_of(request, _shown(header, basic=basic))
    elif not getattr(request, "user", None) or not request.user.is_authenticated:
        raise _unknown(_("Nobody is logged in, and no token was sent."))


def whole(request: HttpRequest, slug: str) -> Process:
    """The process whose stored numbers the caller may take away, as a file of its page.

    Raises Http404 for one that the caller may not see, and PermissionDenied without the permission to export it and
    where the request sees but a part of its objects: records aren't kept for a part.
    """
    process = process_or_404(request.user, registry, slug)
    if not may_export(request.user, process):
        raise PermissionDenied(
            _(
                "You may see the pages of the process %(process)r, but not take its numbers away; ask for "
                "%(permission)s and the permission to view the models of its stocks."
            )
            % {"process": slug, "permission": EXPORTING}
        )
    if is_scoped(request, process):
        raise PermissionDenied(
            _(
                "You see a part of the objects of the process %(process)r, and its records aren't kept for a part; ask "
                "as somebody who sees them all."
            )
            % {"process": slug}
        )
    return process


@sensitive_variables()
def _shown(header: str, *, basic: bool) -> str:
    """The token in the header."""
    scheme, _space, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if basic and scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[0]
        except ValueError as error:  # no base64, no UTF-8, or no ASCII to begin with
            raise _unknown(_("The header 'Authorization' can't be read.")) from error
    raise _unknown(_("The header 'Authorization' has the scheme %(scheme)r.") % {"scheme": scheme})


def _unknown(text: str) -> Refused:
    """The refusal of a caller who isn't known, with what to do."""
    cure = _("Log in, or send the header 'Authorization: Bearer' with a token for this path.")
    return Refused(401, "unauthorized", f"{text} {cure}")


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
            _("The token isn't known, was revoked or has expired, or its user is gone; make another one."),
        )
    path = request.path.removeprefix(page_url(request, "index"))
    if not token.covers(path):
        covered = ", ".join(map(repr, token.paths.splitlines()))
        raise Refused(
            403,
            "forbidden",
            _("The path is %(path)r, and the token is for %(covered)s; make one for this path.")
            % {"path": path, "covered": covered},
        )
    ApiToken.objects.used(token, now)
    return user
