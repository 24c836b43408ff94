"""What the app has stored, in the ordinary admin, for reading only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import formats, timezone
from django.utils.decorators import method_decorator
from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from stockandflow.admin.readonly import DatedAdmin, ReadOnly
from stockandflow.automation import replay
from stockandflow.exceptions import InvalidInput
from stockandflow.models import (
    ALL,
    Definition,
    Delivery,
    FlowFacetRecord,
    FlowRecord,
    Restatement,
    ScheduleEntry,
    ScheduleRun,
    StockFacetRecord,
    StockRecord,
    Sweep,
)
from stockandflow.periodic import Entry, Result, State, overview, run, run_period, schedule, silence
from stockandflow.ranges import instant
from stockandflow.registry import registry
from stockandflow.reports import OTHER, OUTSIDE
from stockandflow.site.status import entry_shown, frequency_words, state_words
from stockandflow.templatetags.stockandflow import breakable

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
else:
    TabularInline = admin.TabularInline


def stock_name(slug: str) -> str:
    """The name of the stock, "outside" for external, "all" for a total; the slug of one that is registered no more."""
    known = {stock.slug: stock.name for stock in registry.stocks} | {"": _(OUTSIDE), ALL: _("all")}
    return known.get(slug, slug)


def flow_name(slug: str) -> str:
    """The name of the flow, "Other" for moves that no flow covers; the slug of one that is registered no more."""
    return ({flow.slug: flow.name for flow in registry.flows} | {"": _(OTHER)}).get(slug, slug)


class ByDeclaration(admin.SimpleListFilter):
    """Choose by what is registered. No query: the stored slugs would have to be searched for in every row."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return None if self.value() is None else queryset.filter(**{str(self.parameter_name): self.value()})


class ByStock(ByDeclaration):
    """Choose the records of one stock."""

    title = gettext_lazy("stock")
    parameter_name = "stock"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(stock.slug, stock.name) for stock in registry.stocks]


class ByFlow(ByDeclaration):
    """Choose the records of one flow, or of the moves that no flow covers."""

    title = gettext_lazy("flow")
    parameter_name = "flow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [*((flow.slug, flow.name) for flow in registry.flows), ("", _(OTHER))]


class ByCalendar(ByDeclaration):
    """Choose the records of one of the calendars in use: the project's and those of processes."""

    title = gettext_lazy("calendar")
    parameter_name = "calendar"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(calendar.key, calendar.timezone) for calendar in registry.calendars()]


class FacetRecords(ReadOnly, TabularInline):
    """The counts by facet value, below their record."""

    extra = 0
    can_delete = False

    class Media:
        """Django heads each row with the object as text, which here only says the row twice."""

        css = {"all": ["stockandflow/admin.css"]}


class StockFacetRecords(FacetRecords):
    """A stock's counts by facet value."""

    model = StockFacetRecord
    fields = ("facet", "value", "count", "multi_valued")


class FlowFacetRecords(FacetRecords):
    """A flow's counts by facet value."""

    model = FlowFacetRecord
    fields = ("facet", "value", "count", "subjects")


class StoredAdmin(ReadOnly, DatedAdmin):
    """What all that is stored shares: reading only, and no count of what the filters leave out."""

    show_full_result_count = False


@admin.register(StockRecord)
class StockRecordAdmin(StoredAdmin):
    """The counts of stocks, latest first."""

    list_display = ("timestamp", "stock_shown", "count", "method")
    list_filter = (ByStock, "method")
    date_hierarchy = "timestamp"
    inlines = (StockFacetRecords,)

    @admin.display(description=gettext_lazy("stock"), ordering="stock")
    def stock_shown(self, record: StockRecord) -> str:
        return stock_name(record.stock)


@admin.register(FlowRecord)
class FlowRecordAdmin(StoredAdmin):
    """The moves of flows by period, latest first."""

    list_display = (
        "start",
        "grain",
        "flow_shown",
        "source_shown",
        "sink_shown",
        "count",
        "subjects",
        "revision",
        "calendar",
        "computed_at",
    )
    list_filter = (ByFlow, "grain", ByCalendar)
    date_hierarchy = "start"
    inlines = (FlowFacetRecords,)

    @admin.display(description=gettext_lazy("flow"), ordering="flow")
    def flow_shown(self, record: FlowRecord) -> str:
        return flow_name(record.flow)

    @admin.display(description=gettext_lazy("source"), ordering="source")
    def source_shown(self, record: FlowRecord) -> str:
        return stock_name(record.source)

    @admin.display(description=gettext_lazy("sink"), ordering="sink")
    def sink_shown(self, record: FlowRecord) -> str:
        return stock_name(record.sink)


@admin.register(Definition)
class DefinitionAdmin(StoredAdmin):
    """What stocks, flows and calendars meant, and since when, latest first."""

    list_display = ("since", "kind", "slug", "meaning")
    list_filter = ("kind",)
    search_fields = ("slug",)
    date_hierarchy = "since"
    ordering = ("-since", "kind", "slug")

    @admin.display(description=gettext_lazy("meaning"), ordering="text")
    def meaning(self, definition: Definition) -> str:
        """The beginning; all of it stands on the definition's own page."""
        return Truncator(definition.text).chars(100)


@admin.register(Restatement)
class RestatementAdmin(StoredAdmin):
    """The final numbers that were changed, latest first."""

    list_display = (
        "at",
        "slug",
        "old_count",
        "new_count",
        "start",
        "grain",
        "cause",
        "source",
        "sink",
        "facet",
        "value",
        "old_subjects",
        "new_subjects",
        "kind",
    )
    list_filter = ("kind", "grain")
    search_fields = ("slug",)
    date_hierarchy = "at"


@admin.register(Delivery)
class DeliveryAdmin(StoredAdmin):
    """The event callables to be called, and those that were, by when they are due."""

    list_display = ("due_at", "flow_shown", "event", "status", "attempts", "last_error")
    list_filter = ("status", ByFlow)
    date_hierarchy = "due_at"
    ordering = ("-due_at", "-id")
    actions = ("try_again",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("stockandflow.replay_delivery")

    @admin.action(permissions=["replay"], description=gettext_lazy("Try the dead ones again"))
    def try_again(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> None:
        number = replay(deliveries)
        told = ngettext(
            "From now on one delivery is tried again, when the schedule delivers next.",
            "From now on %(number)d deliveries are tried again, when the schedule delivers next.",
            number,
        )
        if number:
            self.message_user(request, told % {"number": number})
        else:
            none = _("None of them is dead, so there is nothing to try again.")
            self.message_user(request, none, messages.WARNING)

    @admin.display(description=gettext_lazy("flow"), ordering="flow")
    def flow_shown(self, delivery: Delivery) -> str:
        return flow_name(delivery.flow)

    @admin.display(description=gettext_lazy("event"))
    def event(self, delivery: Delivery) -> str:
        return f"{delivery.event_model} {delivery.event_id}"

    @admin.display(description=gettext_lazy("error"))
    def last_error(self, delivery: Delivery) -> str:
        """The last line of the traceback; all of it stands on the delivery's own page."""
        return delivery.error.strip().rpartition("\n")[2]


def _scheduled(entry: ScheduleEntry) -> Entry | None:
    return next((known for known in schedule.entries if known.name == entry.name), None)


@admin.register(ScheduleEntry)
class ScheduleEntryAdmin(StoredAdmin):
    """The entries of the schedule, when each is due, how it went last, and how far it has come."""

    list_display = ("breakable_name", "frequency", "next_due", "last_run", "seen_at")
    search_fields = ("name",)
    actions = ("run_now",)
    change_form_template = "stockandflow/admin/schedule_entry.html"

    def get_urls(self) -> list[Any]:
        """Django's, and the one that a button of a missed period posts to."""
        view = self.admin_site.admin_view(self.run_period)
        own = path("<int:pk>/run-period/", view, name="stockandflow_scheduleentry_run_period")
        return [own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the entry's missed periods, each to be run where the user may. Seven queries for them."""
        found = next((one for one in overview(schedule) if str(one.pk) == object_id), None)
        context = {
            "missed": [] if found is None else entry_shown(found, timezone.now()).missed,
            "more_missed": found is not None and found.more_missed,
            "may_run": self.has_run_permission(request),
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @method_decorator(transaction.non_atomic_requests)  # an entry has transactions of its own
    def run_period(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run the missed period that begins at the ``start`` posted, once whoever else asks for it; then back again."""
        entry = self.get_object(request, str(pk))
        if request.method != "POST" or entry is None or not self.has_run_permission(request):
            raise PermissionDenied
        try:
            calendar = schedule.entry(entry.name).calendar
            start = instant(request.POST.get("start", ""), calendar, "start")
            result = run_period(schedule, entry.name, start)
        except InvalidInput as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self._tell(request, result)
        return HttpResponseRedirect(reverse("admin:stockandflow_scheduleentry_change", args=[pk]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduleEntry]:
        """With the latest run of each, found by one query."""
        runs = ScheduleRun.objects.filter(entry=OuterRef("pk")).order_by("-period_start")
        found: QuerySet[ScheduleEntry] = (
            super()
            .get_queryset(request)
            .annotate(
                sf_status=Subquery(runs.values("status")[:1]),
                sf_finished_at=Subquery(runs.values("finished_at")[:1]),
            )
        )
        return found

    @method_decorator(transaction.non_atomic_requests)  # so have those that the action runs
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With a warning where nobody calls the schedule. One query for it."""
        if request.method == "GET" and (found := silence(schedule, now=timezone.now())):
            told = _("The schedule was never run. Is run_periodic_schedule called?")
            if found.since:
                since = formats.localize(localtime(found.since))
                told = _("Since %(since)s nobody has run the schedule. Is run_periodic_schedule called?")
                told %= {"since": since}
            self.message_user(request, told, messages.WARNING)
        return super().changelist_view(request, extra_context)

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def breakable_name(self, entry: ScheduleEntry) -> str:
        """A long dotted path gives way, so that the last column isn't cut off."""
        return breakable(entry.name)

    @admin.display(description=gettext_lazy("frequency"))
    def frequency(self, entry: ScheduleEntry) -> str:
        known = _scheduled(entry)
        return frequency_words(known.frequency) if known else _("scheduled no more")

    @admin.display(description=gettext_lazy("next due"))
    def next_due(self, entry: ScheduleEntry) -> datetime | None:
        """The end of the latest period that was run or passed over; in the past, it is due."""
        known = _scheduled(entry)
        last = known.period(entry.high_water) if known and entry.high_water else None
        return last.end if last else None

    @admin.display(description=gettext_lazy("last run"))
    def last_run(self, entry: Any) -> str:
        if entry.sf_status is None:
            return ""
        if entry.sf_finished_at is None:
            return str(ScheduleRun.Status(entry.sf_status).label)
        at = formats.localize(localtime(entry.sf_finished_at)).replace(" ", "\N{NO-BREAK SPACE}")
        return f"{ScheduleRun.Status(entry.sf_status).label} {at}"

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("stockandflow.run_scheduleentry")

    @admin.action(permissions=["run"], description=gettext_lazy("Run what is due of the chosen entries now"))
    def run_now(self, request: HttpRequest, entries: QuerySet[ScheduleEntry]) -> None:
        names = [entry.name for entry in entries if _scheduled(entry)]
        for result in run(schedule, only=names).results if names else ():
            self._tell(request, result)
        if gone := [entry.name for entry in entries if entry.name not in names]:
            self.message_user(request, f"{', '.join(gone)}: {_('scheduled no more')}", messages.WARNING)

    def _tell(self, request: HttpRequest, result: Result) -> None:
        levels = {State.FAILED: messages.ERROR, State.DONE: messages.SUCCESS}
        message = f": {result.message}" if result.message else ""
        said = f"{result.entry.name}: {state_words(result.state)}{message}"
        self.message_user(request, said, levels.get(result.state, messages.INFO))


@admin.register(Sweep)
class SweepAdmin(StoredAdmin):
    """The sweeps of each tracker: since when it is open, how the last one went, and how far one has come."""

    list_display = ("tracker", "completed_at", "found", "opened_at", "started_at", "cursor", "database")
    list_filter = ("database",)
    search_fields = ("tracker",)


@admin.register(ScheduleRun)
class ScheduleRunAdmin(StoredAdmin):
    """The runs of the schedule's entries, latest period first."""

    list_display = ("period_start", "breakable_entry", "status", "outcome")
    list_filter = ("status", "entry")
    list_select_related = ("entry",)
    date_hierarchy = "period_start"

    @admin.display(description=gettext_lazy("entry"), ordering="entry")
    def breakable_entry(self, run: ScheduleRun) -> str:
        """A long dotted path gives way to the message."""
        return breakable(run.entry.name)

    @admin.display(description=gettext_lazy("message"), ordering="message")
    def outcome(self, run: ScheduleRun) -> str:
        """The beginning of the message; all of it stands on the run's own page, with the traceback."""
        return Truncator(run.message).chars(50)
