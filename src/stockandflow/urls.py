"""The addresses of the pages: ``path("stockandflow/", include("stockandflow.urls"))``."""

from __future__ import annotations

from django.urls import path

from stockandflow.site import views

app_name = "stockandflow"

urlpatterns = [
    path("", views.index, name="index"),
    path("<slug:slug>/", views.process, name="process"),
]
