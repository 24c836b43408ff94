"""The admin site of a project's stocks and flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, include, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stockandflow.admin.figures import DAYS, figures
from stockandflow.admin.listings import FlowAdmin, Kind, ListedAdmin, Listing, StockAdmin
from stockandflow.declarations import Flow, Stock
from stockandflow.exceptions import DeclarationError
from stockandflow.registry import registry as declared
from stockandflow.site.access import visible
from stockandflow.site.frames import ADMIN, frame
from stockandflow.urls import app_name, pages


class StockAndFlowAdminSite(admin.AdminSite):
    """A site beside the ordinary admin, with a page for each stock and each flow registered.

    A stock's page lists its members now, with the project's own actions; a flow's page lists its events, read-only.
    Nothing is added or deleted here. Django's permissions to view and to change the model decide, as elsewhere.
    Registering runs no query.
    """

    site_title = gettext_lazy("Stocks and flows")
    site_header = gettext_lazy("Stocks and flows")
    index_title = gettext_lazy("Stocks and flows")
    index_template = "stockandflow/admin/index.html"
    app_index_template = index_template

    def __init__(self, name: str = ADMIN) -> None:
        super().__init__(name)
        self.disable_action("delete_selected")

    def register_stock(
        self,
        stock: Stock,
        admin_attributes: Mapping[str, Any] | None = None,
        action_mixins: Sequence[type[Any]] = (),
    ) -> None:
        """Add the page of a stock's members, with actions.

        ``admin_attributes`` are what a ModelAdmin's class body would hold: list_display, list_filter, search_fields,
        actions …; ``action_mixins`` are classes with actions, whose ``actions`` are added to those. An action gets the
        chosen members as a queryset of the stock's model. Raises DeclarationError for anything but a Stock, and for
        one that has its page already.
        """
        if not isinstance(stock, Stock):
            hint = "write register_flow() for a flow" if isinstance(stock, Flow) else "pass a Stock"
            raise DeclarationError(f"register_stock() got {stock!r}; {hint}, one at a time.")
        self._list(
            "stock", stock, Listing("stock", stock, stock.model), StockAdmin, admin_attributes, action_mixins
        )

    def register_flow(
        self,
        flow: Flow,
        admin_attributes: Mapping[str, Any] | None = None,
        action_mixins: Sequence[type[Any]] = (),
    ) -> None:
        """Add the page of a flow's events, read-only, newest first; for the arguments see ``register_stock``.

        Raises DeclarationError for anything but a Flow, and for one that has its page already.
        """
        if not isinstance(flow, Flow):
            hint = "write register_stock() for a stock" if isinstance(flow, Stock) else "pass a Flow"
            raise DeclarationError(f"register_flow() got {flow!r}; {hint}, one at a time.")
        listing = Listing("flow", flow, flow.flow_event_model)
        self._list("flow", flow, listing, FlowAdmin, admin_attributes, action_mixins)

    def _list(
        self,
        kind: Kind,
        declaration: Stock | Flow,
        listing: Listing,
        admin_class: type[ListedAdmin],
        admin_attributes: Mapping[str, Any] | None,
        action_mixins: Sequence[type[Any]],
    ) -> None:
        attributes = _checked_attributes(kind, declaration, admin_attributes)
        mixins = _checked_mixins(kind, declaration, action_mixins)
        registry: dict[Any, Any] = self._registry
        for known in registry:
            # Addresses know no case.
            if isinstance(known, Listing) and known._meta.model_name == listing._meta.model_name:
                raise DeclarationError(
                    f"The {kind} {declaration.slug!r} can't be registered with the admin site {self.name!r}: "
                    f"{known.declaration!r} has its address already. Call register_{kind}() once for each {kind}, "
                    "and give each a slug of its own."
                )
        owners = [attributes.get("actions"), *(getattr(mixin, "actions", None) for mixin in mixins)]
        attributes["actions"] = _merged_actions(kind, declaration, owners)
        attributes.setdefault("__module__", __name__)
        own_class: Any = type(f"{listing.__name__}-admin", (*mixins, admin_class), attributes)
        registry[listing] = own_class(listing, self)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """The admin's own addresses, and below ``pages/`` the pages of the processes in its frame."""
        framed = [path(str(one.pattern), self._framed(one.callback), name=one.name) for one in pages]
        return [path("pages/", include((framed, app_name))), *super().get_urls()]

    def _framed(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def in_frame(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            frame(request, self)
            return view(request, *args, **kwargs)

        return self.admin_view(in_frame)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The pages that the user may see: each app's stocks, then its flows, in the order of their registration."""
        order = {key: place for place, key in enumerate(self._registry)}
        groups = []
        for app in super().get_app_list(request, app_label):
            pages = sorted(app["models"], key=lambda page: order[page["model"]])
            for kind, heading in (
                ("stock", _("%(app)s stocks")),
                ("flow", _("%(app)s flows")),
                (None, "%(app)s"),
            ):
                found = [page for page in pages if getattr(page["model"], "kind", None) == kind]
                if found:
                    groups.append({**app, "name": heading % {"app": app["name"]}, "models": found})
        return groups

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Django's, with the figures of every stock and flow listed; its queries don't grow with their number."""
        return self._with_figures(request, super().index(request, extra_context))

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """As the index, of one app."""
        # Django's heading is the first group's.
        title = apps.get_app_config(app_label).verbose_name
        given = {"title": title, "frame": "admin/app_index.html", **(extra_context or {})}
        response = super().app_index(request, app_label, given)
        return self._with_figures(request, response)

    def _with_figures(self, request: HttpRequest, response: TemplateResponse) -> TemplateResponse:
        context: Any = response.context_data
        pages = [page for app in context["app_list"] for page in app["models"]]
        listed = [page["model"] for page in pages if isinstance(page["model"], Listing)]
        told = figures(request, listed, self.name) if listed else {}
        for page in pages:
            page["figures"], page["kind"] = told.get(page["model"]), getattr(page["model"], "kind", "")
            page["declaration"] = getattr(page["model"], "declaration", None)
        context["days"] = DAYS
        seen = visible(request.user, declared)
        context["process_pages"] = reverse(f"{self.name}:stockandflow:index") if seen else ""
        return response


def _checked_attributes(
    kind: Kind, declaration: Stock | Flow, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise DeclarationError(
            f"The {kind} {declaration.slug!r} has the admin_attributes {given!r}; write a dict, e.g. "
            "{'list_display': ['name']}."
        )
    return dict(given or {})


def _checked_mixins(
    kind: Kind, declaration: Stock | Flow, given: Iterable[type[Any]]
) -> tuple[type[Any], ...]:
    mixins = tuple(given) if isinstance(given, Iterable) else (given,)
    if isinstance(given, type) or not all(isinstance(mixin, type) for mixin in mixins):
        raise DeclarationError(
            f"The {kind} {declaration.slug!r} has the action_mixins {given!r}; write a list of classes, e.g. [Pausing]."
        )
    return mixins


def _merged_actions(kind: Kind, declaration: Stock | Flow, lists: Iterable[Any]) -> list[Any]:
    """The actions of all lists, each once, in order; raises DeclarationError for what is no list."""
    actions: list[Any] = []
    for given in lists:
        if not given:
            continue
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise DeclarationError(
                f"The {kind} {declaration.slug!r} has the actions {given!r}; write a list of functions and of names of "
                "methods, e.g. [pause]."
            )
        actions += [action for action in given if action not in actions]
    return actions
