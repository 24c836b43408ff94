"""A project's own pages that work through a stock."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path


def page(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("")


urlpatterns = [
    path("member/<int:object_id>/", page, name="work-member"),
    path("slug/<str:name>/", page, name="work-slug"),
    path("done/", page, name="work-done"),
]
