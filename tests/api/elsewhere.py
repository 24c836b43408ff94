"""The pages at another place."""

from django.urls import include, path

urlpatterns = [path("far/away/", include("stockandflow.urls"))]
