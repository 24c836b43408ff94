"""The addresses of the pages: ``path("stockandflow/", include("stockandflow.urls"))``.

What begins with a word of its own stands before the processes, whose slugs can't be that: ``RESERVED`` beside Process.
"""

from __future__ import annotations

from django.urls import path

from stockandflow.api import views as api
from stockandflow.feeds import views as feeds
from stockandflow.site.refusing import refusing
from stockandflow.site.views.flow import flow
from stockandflow.site.views.index import index
from stockandflow.site.views.objects import objects
from stockandflow.site.views.process import process
from stockandflow.site.views.status import status
from stockandflow.site.views.stock import stock
from stockandflow.site.views.timeline import timeline
from stockandflow.site.views.unexplained import unexplained
from stockandflow.site.views.work import work

app_name = "stockandflow"

pages = [
    path("", refusing(index), name="index"),
    path("status/", refusing(status), name="status"),
    path("<slug:slug>/", refusing(process), name="process"),
    path("<slug:slug>/stocks/<slug:stock>/", refusing(stock), name="stock"),
    path("<slug:slug>/stocks/<slug:stock>/work/", refusing(work), name="work"),
    path("<slug:slug>/flows/<slug:flow>/", refusing(flow), name="flow"),
    path("<slug:slug>/unexplained/", refusing(unexplained), name="unexplained"),
    path("<slug:slug>/objects/", refusing(objects), name="objects"),
    path("<slug:slug>/objects/<str:model>/<str:pk>/", refusing(timeline), name="timeline"),
]
"""What people read, and what an admin site can have in its frame."""

API = "api/v1/processes/"

programs = [
    path("api/v1/schema/", api.schema, name="api-schema"),
    path(API, api.processes, name="api-processes"),
    path(f"{API}<slug:slug>/", api.process, name="api-process"),
    path(f"{API}<slug:slug>/stocks/<slug:stock>/", api.stock, name="api-stock"),
    path(f"{API}<slug:slug>/flows/<slug:flow>/", api.flow, name="api-flow"),
    path(f"{API}<slug:slug>/events/", api.events, name="api-events"),
    path("metrics", feeds.metrics, name="metrics"),
    path("feeds/<slug:slug>/stocks/<slug:stock>/", feeds.stock, name="feed-stock"),
    path("feeds/<slug:slug>/flows/<slug:flow>/", feeds.flow, name="feed-flow"),
    path("api/<path:rest>", api.nowhere, name="api-nowhere"),
]
"""What programs read."""

urlpatterns = [*programs, *pages]
