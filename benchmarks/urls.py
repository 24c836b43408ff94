"""The addresses of the pages that are measured."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("", include("stockandflow.urls"))]
