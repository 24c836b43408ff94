"""A stock or a flow as the admin lists it: the model's own objects under the stock's or the flow's name.

An admin site wants each model once, and a stock is no model. So the site's key is a ``Listing``, which answers for its
own names and leaves the rest to the model. It is no proxy model: nothing is added to Django's apps, so that migrations,
content types, permissions and whatever listens to ``class_prepared`` never meet it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stockandflow.admin.addresses import page_address, work_address
from stockandflow.admin.readonly import DatedAdmin, ReadOnly
from stockandflow.declarations import Flow, State, Stock, state_key
from stockandflow.membership.facets import NONE
from stockandflow.models import FlowEvent
from stockandflow.registry import registry
from stockandflow.reports import OUTSIDE
from stockandflow.site.access import scoped, scoped_events, visible

if TYPE_CHECKING:
    from stockandflow.admin.site import StockAndFlowAdminSite

Kind = Literal["stock", "flow"]

EVENT_FIELDS: Final = frozenset(field.name for field in FlowEvent._meta.get_fields()) | {"subject"}
"""The fields that every event has; an event model may add its own."""


class Names:
    """A model's options, its ``_meta``, under other names: all that isn't a name is the model's own."""

    def __init__(self, options: Any, object_name: str, plural: str) -> None:
        self._options = options
        self.object_name = object_name
        self.model_name = object_name.lower()
        self.verbose_name_plural = plural

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_options"], name)


class Listing:
    """What a site keeps in a model's place for a stock or a flow; ``model`` is the model of the objects listed."""

    def __init__(self, kind: Kind, declaration: Stock | Flow, model: type[Model]) -> None:
        self.kind = kind
        self.declaration = declaration
        self.model = model
        self.__name__ = f"{kind}-{declaration.slug}"
        # Beside its models a site may hold this: an admin asks issubclass() of each, to know which fields of its own
        # model are referred to from this site.
        self.__bases__ = (model,)
        self._meta = Names(model._meta, self.__name__, declaration.name)

    def __repr__(self) -> str:
        return f"<Listing of {self.declaration!r}>"


class ListedAdmin(DatedAdmin):
    """What the lists of stocks and flows share: the model's own permissions, and neither add nor delete."""

    change_list_template = "stockandflow/admin/change_list.html"

    def __init__(self, listing: Any, admin_site: StockAndFlowAdminSite) -> None:
        super().__init__(listing, admin_site)
        # The model for all that is read and written, the listing's names for the addresses and the headings.
        self.model = listing.model
        self.opts = listing._meta
        self.declaration: Stock | Flow = listing.declaration
        self.description: str = listing.declaration.description

    @property
    def definition(self) -> str:
        """What the list holds, in words, to stand below its title. No query."""
        raise NotImplementedError

    def allows(self, request: HttpRequest, action: str) -> bool:
        """Whether the user has Django's permission for this action (``view``, ``change``) on the model."""
        options = self.model._meta
        return request.user.has_perm(f"{options.app_label}.{get_permission_codename(action, options)}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.allows(request, "change")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.allows(request, "view") or self.allows(request, "change")

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """The actions that the user may run: one that names no permissions wants the one to change the model."""
        # Django before 6.1 knows of no location.
        located = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **located)
        if self.allows(request, "change"):
            return actions
        return {
            name: action
            for name, action in actions.items()
            if hasattr(_function(action), "allowed_permissions")
        }

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        # Addresses and headings only: what is looked up goes by the model's own options.
        changelist.opts = self.opts
        changelist.title = str(self.opts.verbose_name_plural)
        return changelist

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        seen = visible(request.user, registry)
        words = {
            "description": self.description,
            "definition": self.definition,
            "page_url": page_address(self.admin_site.name, seen, self.declaration),
            "work_url": work_address(self.admin_site.name, seen, request.user, self.declaration),
        }
        return super().changelist_view(request, {**words, **(extra_context or {})})


class StockAdmin(ListedAdmin):
    """The list of a stock's members now; ``self.stock`` is the stock."""

    def __init__(self, listing: Any, admin_site: StockAndFlowAdminSite) -> None:
        super().__init__(listing, admin_site)
        self.stock: Stock = listing.declaration

    @property
    def definition(self) -> str:
        return _sentence(self.stock.definition)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The members that exist for this request, so that no other object can be listed, opened or acted on."""
        return scoped(request, self.stock.all())

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """As Django's, but never back to the page of an object that has left the stock. One query more."""
        if IS_POPUP_VAR in request.POST or self.get_queryset(request).filter(pk=obj.pk).exists():
            return super().response_change(request, obj)
        self.message_user(
            request,
            _("The %(kind)s “%(name)s” was changed successfully and is no longer in %(stock)s.")
            % {"kind": self.opts.verbose_name, "name": obj, "stock": self.stock.name},
            messages.SUCCESS,
        )
        return self.response_post_save_change(request, obj)


class SideFilter(admin.SimpleListFilter):
    """Choose the events of one source, or of one sink, by its name. No query."""

    side: Literal["source", "sink"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        states = model_admin.flow.sources if self.side == "source" else model_admin.flow.sinks
        return [(state_key(state), state_name(state)) for state in states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return None if self.value() is None else queryset.filter(**{self.side: self.value()})


class SourceFilter(SideFilter):
    """Choose the events of one source."""

    title = gettext_lazy("source")
    side = parameter_name = "source"


class SinkFilter(SideFilter):
    """Choose the events of one sink."""

    title = gettext_lazy("sink")
    side = parameter_name = "sink"


class FlowAdmin(ReadOnly, ListedAdmin):
    """The list of a flow's events, those of deleted subjects too, which nobody changes; ``self.flow`` is the flow."""

    list_display = ("timestamp", "subject_name", "source_name", "sink_name")
    list_filter = (SourceFilter, SinkFilter, "origin")
    list_select_related = ("subject",)
    date_hierarchy = "timestamp"
    ordering = ("-timestamp", "-id")
    # Events are many, and counting them all again would only tell how many the filters left out.
    show_full_result_count = False

    def __init__(self, listing: Any, admin_site: StockAndFlowAdminSite) -> None:
        super().__init__(listing, admin_site)
        self.flow: Flow = listing.declaration

    @property
    def definition(self) -> str:
        sources, sinks = (
            ", ".join(map(state_name, states)) for states in (self.flow.sources, self.flow.sinks)
        )
        return _sentence(_("moves from %(sources)s to %(sinks)s") % {"sources": sources, "sinks": sinks})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The events whose subject exists for this request."""
        return scoped_events(request, self.flow.all())

    def get_list_filter(self, request: HttpRequest) -> Any:
        """As declared, without a filter that has nothing to choose from; its parameter works all the same."""
        sides = ((SourceFilter, self.flow.sources), (SinkFilter, self.flow.sinks))
        needless = [side for side, states in sides if len(states) == 1]
        return [chosen for chosen in super().get_list_filter(request) if chosen not in needless]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.fields:
            return super().get_fields(request, obj)
        own = [field.name for field in self.model._meta.fields if field.name not in EVENT_FIELDS]
        shown = ("timestamp", "subject_name", "source_name", "sink_name", "facet_values", *own)
        return [*shown, "origin", "recorded_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *self.get_fields(request, obj)]

    @admin.display(description=gettext_lazy("subject"), ordering="subject_id")
    def subject_name(self, event: Any) -> str:
        return (
            _("#%(key)s (deleted)") % {"key": event.subject_id}
            if event.subject is None
            else str(event.subject)
        )

    @admin.display(description=gettext_lazy("source"), ordering="source")
    def source_name(self, event: FlowEvent) -> str:
        return state_name(self.flow.state(event.source))

    @admin.display(description=gettext_lazy("sink"), ordering="sink")
    def sink_name(self, event: FlowEvent) -> str:
        return state_name(self.flow.state(event.sink))

    @admin.display(description=gettext_lazy("facets, as they were"))
    def facet_values(self, event: FlowEvent) -> str:
        names = {facet.slug: facet.name for facet in self.flow.applied_facets}
        # Databases keep JSON in orders of their own: the flow's facets first, then those of its neighbours.
        slugs = [slug for slug in names if slug in event.facets] + sorted(event.facets.keys() - names)
        values = {slug: event.facets[slug] for slug in slugs}
        return ", ".join(
            f"{names.get(slug, slug)}: {NONE if value is None else value}" for slug, value in values.items()
        )


def state_name(state: State) -> str:
    """What people call a source or a sink: a stock's name, "outside" for external, else the stand-in as text."""
    if state is None:
        return _(OUTSIDE)
    return state.name if isinstance(state, Stock) else str(state)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _function(action: Any) -> Any:
    # A tuple (function, name, description) before Django 6.1, an object after.
    return action[0] if isinstance(action, tuple) else action.func
