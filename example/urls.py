"""Where the example's pages are."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from example.admin_site import site

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="stockandflow:index")),
    path("admin/", admin.site.urls),
    path("stockandflow/", include("stockandflow.urls")),
    path("stockandflow-admin/", site.urls),
]
