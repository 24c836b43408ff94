"""The pages at another place, below the addresses of another app, and twice."""

from django.urls import include, path

urlpatterns = [path("far/away/", include("stockandflow.urls"))]


class Within:
    """An app's addresses, in whose namespace the pages are."""

    urlpatterns = [path("in/", include(([path("pages/", include("stockandflow.urls"))], "shop")))]


class Twice:
    """The pages under two names."""

    urlpatterns = [
        path("one/", include("stockandflow.urls", namespace="one")),
        path("two/", include("stockandflow.urls", namespace="two")),
    ]
