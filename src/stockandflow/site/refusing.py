"""Pages for what is refused: what is missing, and where to go on; a project's own pages stand before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import get_resolver, get_urlconf
from django.utils.translation import gettext as _
from django.views import defaults

from stockandflow.registry import registry
from stockandflow.site.access import NotAllowed, may_view
from stockandflow.site.frames import Crumb, page_url, render_page

DEFAULTS: dict[int, Callable[..., Any]] = {403: defaults.permission_denied, 404: defaults.page_not_found}

View = Callable[..., HttpResponseBase]


def refusing(view: View) -> View:
    """Have a page that isn't let to say so in its own frame, rather than bare.

    What the project has for the status, by its URLconf or a template such as ``403.html``, stands before ours.
    """

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except PermissionDenied as error:
            if project_shows(403):
                raise
            wanted = error.wanted if isinstance(error, NotAllowed) else ()
            return refused_page(request, 403, str(error), wanted=wanted)
        except Http404 as error:
            if settings.DEBUG or project_shows(404):
                raise
            return refused_page(request, 404, str(error))

    return shown


def project_shows(status: int) -> bool:
    """Whether the project has a page of its own for the status. No query."""
    if get_resolver(get_urlconf()).resolve_error_handler(status) is not DEFAULTS[status]:
        return True
    try:
        get_template(f"{status}.html")
    except TemplateDoesNotExist:
        return False
    return True


def refused_page(request: HttpRequest, status: int, text: str, *, wanted: Sequence[str] = ()) -> HttpResponse:
    """The page for a request that is refused with 400, 403 or 404: why, and the way back to what may be seen.

    Of the permissions ``wanted`` those are told that the user lacks.
    """
    titles = {
        400: _("This can’t be understood"),
        403: _("You may not see this"),
        404: _("There is nothing here"),
    }
    user: Any = request.user
    crumbs = []
    match = request.resolver_match
    slug = match.kwargs.get("slug", "") if match else ""
    process = next((one for one in registry.processes if one.slug == slug and may_view(user, one)), None)
    if process is not None:
        crumbs.append(Crumb(str(process.name), page_url(request, "process", process.slug)))
    context = {
        "status": status,
        "text": text if status != 404 else "",
        "missing": [name for name in dict.fromkeys(wanted) if not user.has_perm(name)],
        "back": crumbs[0] if crumbs and crumbs[0].url != request.get_full_path() else None,
    }
    return render_page(
        request, "stockandflow/refused.html", context, title=titles[status], crumbs=crumbs, status=status
    )
