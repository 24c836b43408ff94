"""What a page says in place of numbers where none of a process's stocks can be counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponseBase

from stockandflow.site.frames import Crumb, page_url, render_page
from stockandflow.site.reporting import NothingCounted

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def tells_nothing_counted(view: View) -> View:
    """A view that answers NothingCounted with a page that says so, and that keeps what was asked for."""

    @wraps(view)
    def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NothingCounted as error:
            process = error.process
            return render_page(
                request,
                "stockandflow/uncounted.html",
                {"process": process, "asked": error.asked},
                title=str(process.name),
                crumbs=[Crumb(str(process.name), page_url(request, "process", process.slug))],
            )

    return told  # type: ignore[return-value]
