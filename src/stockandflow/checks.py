"""System checks: what is wrong with declarations together, found at start-up with the cure.

One function a rule. Ids are never reused; docs/reference/checks.md explains each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, FieldError, ValidationError
from django.db import DatabaseError, connections, models, router
from django.db.models import QuerySet
from django.db.models.sql import Query
from django.utils.text import Truncator

from stockandflow.capture import (
    TrackerStatus,
    blind_spots,
    cures,
    database_of,
    method_for,
    status,
    strangers,
    unhooked,
)
from stockandflow.conf import NAMES, conf, given, no_origins, scope_function, why_no_least, why_no_queue
from stockandflow.declarations import Facet, Flow, Stock, state_key
from stockandflow.declarations.facet import AppliedFacet
from stockandflow.declarations.process import RESERVED
from stockandflow.exceptions import DeclarationError, InvalidInput
from stockandflow.membership.canonical import instants_to_the_microsecond
from stockandflow.membership.overlap import surely_overlap
from stockandflow.models import Definition, FlowEvent, SubjectForeignKey
from stockandflow.periods import Calendar
from stockandflow.recording import Retention, changed_definitions
from stockandflow.registry import Registry
from stockandflow.registry import registry as project_registry

Messages = Iterator[checks.CheckMessage]


def register() -> None:
    """Have Django run the checks on the project's registry."""
    checks.register(check_declarations, "stockandflow")
    checks.register(check_databases, checks.Tags.database)


def check_declarations(
    app_configs: Sequence[Any] | None = None,  # noqa: ARG001
    *,
    registry: Registry = project_registry,
    **_: Any,
) -> list[checks.CheckMessage]:
    """Everything that can be told without a database."""
    return [message for rule in RULES for message in rule(registry)]


def check_databases(
    app_configs: Sequence[Any] | None = None,  # noqa: ARG001
    *,
    databases: Sequence[str] | None = None,
    registry: Registry = project_registry,
    **_: Any,
) -> list[checks.CheckMessage]:
    """Whether the databases asked about have the triggers that capture the trackers, and records of what is meant now.

    Four queries each, and two more for the one that keeps the records.
    """
    found: list[checks.CheckMessage] = []
    for using in databases or ():
        try:
            states, left_over = status(registry, using), strangers(registry, using).left_over
        except DatabaseError as error:
            found.append(
                _warning(
                    "W003",
                    f"The triggers of the database {using!r} can't be looked at: {error}",
                    "See whether the database is reachable and migrated.",
                    using,
                )
            )
            continue
        # No error: that would keep 'migrate', which puts the triggers in place, from running.
        found += [
            _warning(
                "W005",
                f"The triggers of the tracker {state.tracker.slug!r} {_what_they_are(state)}",
                _AT_THE_END_OF_MIGRATE,
                state.tracker,
            )
            for state in states
            if state.missing or state.stale
        ]
        found += [
            _warning(
                "W007",
                f"The triggers of the tracker {state.tracker.slug!r} wait for {', '.join(state.waiting)}, which the "
                f"database {using!r} doesn't have; moves that they would see aren't recorded.",
                "'manage.py migrate' brings these, and puts the triggers in place at its end.",
                state.tracker,
            )
            for state in states
            if state.waiting
        ]
        if left_over:
            tables = ", ".join(sorted(set(left_over.values())))
            found.append(
                _warning(
                    "W009",
                    f"The database {using!r} has triggers of trackers that are gone, on {tables}; they still write "
                    "events, and fail when their event model goes.",
                    _AT_THE_END_OF_MIGRATE,
                    using,
                )
            )
        found += [_facet_lost(state, facet) for state in states for facet in _flow_facets_lost(state)]
        found += _local_days_are_known(registry, using)
        found += _definitions_are_those_of_the_records(registry, using)
    return found


def _what_they_are(state: TrackerStatus) -> str:
    there, moves = f"in the database {state.using!r}", f"moves of {state.tracker.model._meta.label} objects"
    if state.stale:
        return f"are those of an earlier declaration {there}, so {moves} are recorded as that one meant them."
    return f"are missing {there}, so {moves} aren't recorded."


_AT_THE_END_OF_MIGRATE = (
    "'manage.py migrate' mends that at its end, and 'manage.py stockandflow sync' at once."
)
"""As 'migrate' runs the checks first, it says this too."""


def _definitions_are_those_of_the_records(registry: Registry, using: str) -> Messages:
    if using != router.db_for_read(Definition):
        return
    with connections[using].cursor() as cursor:
        if Definition._meta.db_table not in connections[using].introspection.table_names(cursor):
            return
    for old, new in changed_definitions(registry):
        what = (
            f"calendar of the process {new.slug!r}" if new.kind == "calendar" else f"{new.kind} {new.slug!r}"
        )
        yield _warning(
            "W013",
            f"The {what} means something else than what records have been kept of since {old.since:%Y-%m-%d}: now "
            f"«{_one_line(new.text)}», until now «{_one_line(old.text)}».",
            _BY_THE_DAY if _but_dates(old.text) == _but_dates(new.text) else _AFTER_A_CHANGE[new.kind],
            None,
        )


_AFTER_A_CHANGE = {
    "stock": "The next recording notes it, and the series breaks there: counts from before and after don't compare. "
    "Give a stock that is another thing another slug.",
    "flow": "The next recording notes it, and the series breaks there. 'manage.py stockandflow record --restate' "
    "computes kept days anew, from the events as they are; give a flow that is another thing another slug.",
    "calendar": "The next recording keeps flow records for the new calendar's days, and the series breaks there.",
}


_BY_THE_DAY = (
    "They differ in dates alone, which looks as though a filter were computed when its module is imported: let the "
    "database tell the time, e.g. created_at__gte=Now() - timedelta(days=30). Otherwise the next recording notes it, "
    "and the series breaks there."
)


def _but_dates(text: str) -> str:
    return re.sub(r"'\d{4}-\d\d-\d\d[^']*'", "…", text)


def _one_line(text: str) -> str:
    return Truncator(text.replace("\n", "; ")).chars(300)


def _local_days_are_known(registry: Registry, using: str) -> Messages:
    if getattr(connections[using].features, "has_zoneinfo_database", True):
        return
    for stock in registry.stocks:
        if stock.queryset.db != using:
            continue
        if asked := [what for what, queryset in _what_a_stock_asks(stock) if _converts(queryset, using)]:
            yield _warning(
                "W011",
                f"The stock {stock.slug!r} asks the database {using!r} for local days or times, in {asked[0]}, and it "
                "has no time zone tables: it takes them all for NULL.",
                "Load them, e.g. with 'mariadb-tzinfo-to-sql /usr/share/zoneinfo | mariadb mysql', and restart the "
                "server.",
                stock,
            )


def _what_a_stock_asks(stock: Stock) -> Iterator[tuple[str, QuerySet[Any]]]:
    """In words → a queryset that asks for it."""
    yield "its filter", stock.queryset
    for facet in stock.applied_facets:
        try:
            lookup = facet.column(stock.model).value_lookup
        except FieldError:
            continue  # told by E005
        yield f"the facet {facet.slug!r}", QuerySet(stock.model).order_by().values(lookup)


def _converts(queryset: QuerySet[Any], using: str) -> bool:
    """Whether the query has the database convert instants from one time zone to another."""
    try:
        sql, _ = queryset.query.get_compiler(using).as_sql()
    except (EmptyResultSet, FieldError):
        return False
    return "CONVERT_TZ(" in sql


def _flow_facets_lost(state: TrackerStatus) -> list[str]:
    """The facets of flows that a database's triggers can't read, though events could keep them."""
    facets = {facet.slug: facet for flow in state.tracker.flows for facet in flow.applied_facets}
    lost = []
    for slug in state.lost_facets:
        try:
            if slug in facets and facets[slug].column(state.tracker.model).capturable:
                lost.append(slug)
        except FieldError:
            continue
    return lost


def _facet_lost(state: TrackerStatus, facet: str) -> checks.Warning:
    return _warning(
        "W008",
        f"Events of the tracker {state.tracker.slug!r} don't keep the facet {facet!r} on the database "
        f"{state.using!r}: {state.lost_facets[facet]}. Its flows all show it as (none).",
        "Split flows by a column that the database reads by itself, e.g. one that save() fills; keep this facet on "
        "stocks, or use another database.",
        state.tracker,
    )


def _error(number: str, text: str, hint: str, obj: Any) -> checks.Error:
    return checks.Error(text, hint=hint, obj=obj, id=f"stockandflow.{number}")


def _warning(number: str, text: str, hint: str, obj: Any) -> checks.Warning:
    return checks.Warning(text, hint=hint, obj=obj, id=f"stockandflow.{number}")


def _twice(declarations: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Slugs that several declarations share, whatever their case: some databases' collations don't tell it."""
    by_slug: dict[str, list[Any]] = defaultdict(list)
    for declaration in declarations:
        by_slug[declaration.slug.casefold()].append(declaration)
    return ((same[0].slug, same) for same in by_slug.values() if len(same) > 1)


def _unique_slugs(registry: Registry) -> Messages:
    leaving = " Flow.for_stocks(…, leaving='…') names the flow that leaves a dimension."
    by_label = " A tracker has the label of its model unless you write ModelTracker(…, slug='…')."
    for number, kind, declarations, where in (
        ("E001", "stocks", registry.stocks, ""),
        ("E002", "flows", registry.flows, leaving),
        ("E003", "processes", registry.processes, ""),
        ("E004", "trackers", registry.trackers, by_label),
    ):
        for slug, same in _twice(declarations):
            yield _error(
                number,
                f"{len(same)} {kind} share the slug {slug!r}: {', '.join(_home(one) for one in same)}.",
                f"Give each a slug of its own; records, events and pages are kept by slug.{where}",
                same[0],
            )


def _home(declaration: Any) -> str:
    model = getattr(declaration, "model", None)
    if isinstance(declaration, Flow) and _has_subject(declaration.flow_event_model):
        model = declaration.subject_model
    name = getattr(declaration, "name", declaration.slug)
    return f"{name!r} of {model._meta.label}" if model is not None else repr(name)


def _stock_facets_resolve(registry: Registry) -> Messages:
    for stock in registry.stocks:
        for facet in stock.applied_facets:
            try:
                facet.column(stock.model)
            except FieldError as error:
                yield _error(
                    "E005",
                    f"The facet {facet.slug!r} of the stock {stock.slug!r} reads {facet.lookup!r}, which "
                    f"{stock.model._meta.label} can't resolve: {error}",
                    "Correct field_lookup, or give the facet as (Facet, 'field_prefix') with the path that leads from "
                    f"{stock.model._meta.object_name} to the object it describes.",
                    stock,
                )


def _flow_facets_resolve(registry: Registry) -> Messages:
    for flow in registry.flows:
        if not _has_subject(flow.flow_event_model):
            continue
        for facet in flow.applied_facets:
            try:
                column = facet.column(flow.subject_model)
            except FieldError as error:
                yield _error(
                    "E006",
                    f"The facet {facet.slug!r} of the flow {flow.slug!r} reads {facet.lookup!r}, which "
                    f"{flow.subject_model._meta.label} can't resolve: {error}",
                    "Correct field_lookup, or give the facet as (Facet, 'field_prefix').",
                    flow,
                )
                continue
            if not column.capturable:
                why = "asks a question" if column.condition else "can have several values for one object"
                yield _error(
                    "E007",
                    f"The facet {facet.slug!r} of the flow {flow.slug!r} {why}, so an event can't keep its value.",
                    "Split flows by facets that read one column; keep this facet on stocks.",
                    flow,
                )


def _facets_of_a_tracker_agree(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        seen: dict[str, AppliedFacet] = {}
        owners: list[Stock | Flow] = [*tracker.stocks, *tracker.flows]
        for owner in owners:
            for facet in owner.applied_facets:
                other = seen.setdefault(facet.slug, facet)
                if other.lookup != facet.lookup:
                    yield _error(
                        "E008",
                        f"The facet slug {facet.slug!r} reads {other.lookup!r} and {facet.lookup!r} within the tracker "
                        f"{tracker.slug!r}, but an event keeps one value for it.",
                        "Use one Facet with one prefix, or give the second a slug of its own.",
                        tracker,
                    )


def _is_event_model(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, FlowEvent) and not model._meta.abstract


def _filters_stay_the_same(registry: Registry) -> Messages:
    for stock in registry.stocks:
        if instants := instants_to_the_microsecond(stock.queryset):
            yield _warning(
                "W012",
                f"The filter of the stock {stock.slug!r} compares with {instants[0].isoformat()}, which looks like the "
                "time when its module was imported: it stands still while the process runs, and is another in the next "
                "one.",
                "Let the database tell the time: Now(), e.g. created_at__gte=Now() - timedelta(days=30).",
                stock,
            )


def _one_facet_a_slug(registry: Registry) -> Messages:
    seen: dict[tuple[Any, str, str], Facet] = {}
    owners: list[tuple[Any, Stock | Flow]] = [
        (stock.model._meta.concrete_model, stock) for stock in registry.stocks
    ]
    owners += [
        (flow.subject_model._meta.concrete_model, flow)
        for flow in registry.flows
        if _has_subject(flow.flow_event_model)
    ]
    for model, owner in owners:
        for facet in owner.applied_facets:
            if seen.setdefault((model, facet.slug, facet.lookup), facet.facet) is not facet.facet:
                yield _error(
                    "E022",
                    f"{owner!r} has another Facet with the slug {facet.slug!r} than others on {model._meta.label}; "
                    "counts and events know a facet by its slug.",
                    "Use one Facet object for all, or give the second a slug of its own.",
                    owner,
                )


def _declared_values_fit(registry: Registry) -> Messages:
    for stock in registry.stocks:
        for facet in stock.applied_facets:
            if isinstance(facet.facet.values, QuerySet):
                continue  # known only to the database, and of a column's own kind
            for _, value in facet.facet.choices() or []:
                try:
                    column = facet.column(stock.model)
                    if isinstance(value, list | tuple | set | dict) and not (
                        column.condition or column.reads_json
                    ):
                        raise TypeError("it is several values")  # noqa: TRY301 - told below, like Django's own
                    QuerySet(stock.model).filter(column.has(value))
                except FieldError:
                    break  # the lookup itself, told by E005
                except (TypeError, ValueError, ValidationError) as error:
                    yield _error(
                        "E023",
                        f"The facet {facet.slug!r} of the stock {stock.slug!r} declares the value {value!r}, which "
                        f"{facet.lookup!r} of {stock.model._meta.label} can't be compared with: {error}",
                        "Correct the facet's values, or its field_lookup.",
                        stock,
                    )


def _questions_have_answers(registry: Registry) -> Messages:
    for stock in registry.stocks:
        for facet in stock.applied_facets:
            try:
                asks = facet.column(stock.model).condition
            except FieldError:
                continue  # told by E005
            if asks and facet.facet.values is None:
                yield _error(
                    "E025",
                    f"The facet {facet.slug!r} of the stock {stock.slug!r} asks a question, {facet.lookup!r}, of no "
                    "values, so there is nothing to count.",
                    f"Give it values to ask it of, e.g. values=[18, 65], or leave {asks!r} out of its field_lookup.",
                    stock,
                )


def _has_subject(model: Any) -> bool:
    if not _is_event_model(model):
        return False
    try:
        return isinstance(model._meta.get_field("subject"), SubjectForeignKey)
    except FieldDoesNotExist:
        return False


def _event_models_are_sound(registry: Registry) -> Messages:
    own = {field.name for field in FlowEvent._meta.get_fields()} | {"subject"}
    for model in registry.event_models():
        if not _is_event_model(model):
            yield _error(
                "E009",
                f"{model!r} is used as an event model, but it isn't a concrete subclass of FlowEvent.",
                "Write 'class SaleFlowEvent(FlowEvent): subject = SubjectForeignKey(Sale)' and use that.",
                model,
            )
            continue
        if not _has_subject(model):
            yield _error(
                "E010",
                f"The event model {model._meta.label} has no 'subject' that is a SubjectForeignKey.",
                "Add 'subject = SubjectForeignKey(TheModelThatFlows)'; an ordinary ForeignKey would forbid deleting "
                "subjects, or delete their history.",
                model,
            )
        for field in model._meta.concrete_fields:
            left_out = field.null or field.generated or field.has_db_default()
            if field.name not in own and not left_out:
                yield _error(
                    "E011",
                    f"{model._meta.label}.{field.name} can't be left out by the database, which writes the events.",
                    "Give the field null=True or a db_default.",
                    model,
                )


def _subjects_match(registry: Registry) -> Messages:
    for flow in registry.flows:
        if not _has_subject(flow.flow_event_model):
            continue
        for stock in flow.stocks:
            if stock.model._meta.concrete_model is not flow.subject_model._meta.concrete_model:
                yield _error(
                    "E012",
                    f"The flow {flow.slug!r} moves {flow.subject_model._meta.label} objects, by the subject of "
                    f"{flow.flow_event_model._meta.label}, but {stock.slug!r} is a stock of {stock.model._meta.label}.",
                    f"Use an event model whose subject is {stock.model._meta.label}.",
                    flow,
                )


def _one_tracker_a_stock(registry: Registry) -> Messages:
    for stock in registry.stocks:
        mine = [tracker for tracker in registry.trackers if stock in tracker.stocks]
        if len(mine) > 1:
            yield _error(
                "E013",
                f"The stock {stock.slug!r} stands in the trackers {' and '.join(repr(t.slug) for t in mine)}, so each "
                "of its moves would be recorded more than once.",
                "Keep it in one tracker: a tracker is one dimension.",
                stock,
            )


def _tracked_fields_resolve(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        for name in tracker.fields_to_track:
            try:
                rest, _, _ = Query(tracker.model).solve_lookup_type(name)
                wrong = (
                    f"{' and '.join(map(repr, rest))} is a filter, not a part of the path." if rest else ""
                )
            except FieldError as error:
                wrong = str(error)
            if wrong:
                yield _error(
                    "E014",
                    f"The tracker {tracker.slug!r} watches {name!r}, which isn't a field of "
                    f"{tracker.model._meta.label}: {wrong}",
                    "fields_to_track takes field names of the model, or paths over foreign keys.",
                    tracker,
                )


def _one_flow_a_move(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        taken: dict[tuple[str, str], str] = {}
        for flow in tracker.flows:
            for source in map(state_key, flow.sources):
                for sink in map(state_key, flow.sinks):
                    first = taken.setdefault((source, sink), flow.slug)
                    if source != sink and first != flow.slug:
                        yield _error(
                            "E015",
                            f"The flows {first!r} and {flow.slug!r} of the tracker {tracker.slug!r} both cover the "
                            f"move from {source or 'outside'!r} to {sink or 'outside'!r}.",
                            "Take the pair out of one of them; a move is one event of one flow.",
                            tracker,
                        )


def _stand_ins_are_no_stocks(registry: Registry) -> Messages:
    slugs = {stock.slug for stock in registry.stocks}
    for flow in registry.flows:
        for state in {state_key(state): state for state in (*flow.sources, *flow.sinks)}.values():
            if state is not None and not isinstance(state, Stock) and state_key(state) in slugs:
                yield _error(
                    "E016",
                    f"The flow {flow.slug!r} uses {state!r} as a state of its own, but {state_key(state)!r} is the "
                    "slug of a stock, and events couldn't tell them apart.",
                    "Use the Stock object itself, or another stand-in.",
                    flow,
                )


def _keys_are_single(registry: Registry) -> Messages:
    for stock in registry.stocks:
        if isinstance(stock.model._meta.pk, getattr(models, "CompositePrimaryKey", ())):
            yield _error(
                "E017",
                f"The stock {stock.slug!r} holds {stock.model._meta.label} objects, which have a composite primary "
                "key; Django can't point a foreign key of an event at one.",
                "Give the model a single primary key.",
                stock,
            )


def _flows_stay_in_their_tracker(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        mine = set(tracker.stocks)
        for flow in tracker.flows:
            if strangers := [stock for stock in flow.stocks if stock not in mine]:
                yield _error(
                    "E018",
                    f"The flow {flow.slug!r} of the tracker {tracker.slug!r} touches {strangers[0].slug!r}, a stock "
                    "that the tracker doesn't watch, so that move is never seen.",
                    "Add the stock to the tracker, or the flow to the tracker of that stock.",
                    tracker,
                )


def _events_are_read_where_they_are_written(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        if not _has_subject(tracker.events):
            continue
        written, read = database_of(tracker), router.db_for_read(tracker.events)
        if written != read:
            yield _error(
                "E019",
                f"The subjects of the tracker {tracker.slug!r} are in the database {written!r}, so their events are "
                f"written there, but {tracker.events._meta.label} is read from {read!r}.",
                f"Route {tracker.events._meta.label} to {written!r} in DATABASE_ROUTERS.",
                tracker,
            )


def _stocks_of_a_tracker_exclude_each_other(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        if not tracker.derived:
            continue
        for one, other in combinations(tracker.stocks, 2):
            if surely_overlap(one.queryset, other.queryset):
                yield _error(
                    "E024",
                    f"The stocks {one.slug!r} and {other.slug!r} of the tracker {tracker.slug!r} hold some objects in "
                    f"common ({one.definition}; {other.definition}), but an object is in one stock of a tracker.",
                    "Narrow the filter of one, or leave it out of the tracker: then it is only counted.",
                    tracker,
                )


def _stand_ins_differ_by_more_than_case(registry: Registry) -> Messages:
    seen: dict[str, str] = {stock.slug.casefold(): stock.slug for stock in registry.stocks}
    for flow in registry.flows:
        for state in (*flow.sources, *flow.sinks):
            key = state_key(state)
            if isinstance(state, Stock) or state is None:
                continue
            other = seen.setdefault(key.casefold(), key)
            if other != key:
                yield _error(
                    "E026",
                    f"The flow {flow.slug!r} keeps {state!r} as {key!r}, which differs from {other!r} in nothing but "
                    "small and large letters; some databases take them for the same.",
                    "Use another stand-in.",
                    flow,
                )


def _settings_are_known(_: Registry) -> Messages:
    for key in sorted(set(given()) - set(NAMES), key=repr):
        yield _error(
            "E020",
            f"STOCKANDFLOW[{key!r}] is no setting of this package.",
            f"Known: {', '.join(NAMES)}.",
            None,
        )


def _settings_are_sound(_: Registry) -> Messages:
    try:
        Calendar.default()
    except InvalidInput as error:
        yield _error(
            "E021", f"The calendar in STOCKANDFLOW can't be used: {error}", "Correct the setting.", None
        )
    lateness: object = conf().allowed_lateness
    if not isinstance(lateness, timedelta) or lateness < timedelta():
        yield _error(
            "E021",
            f"STOCKANDFLOW['ALLOWED_LATENESS'] is {lateness!r}, which is no time to wait.",
            "Write a timedelta, zero or more, e.g. timedelta(days=1).",
            None,
        )
    try:
        Retention.of_settings()
    except InvalidInput as error:
        yield _error(
            "E021", f"STOCKANDFLOW['RETENTION'] can't be used: {error}", "Correct the setting.", None
        )


def _queue_is_there(_: Registry) -> Messages:
    if wrong := why_no_queue(conf().queue):
        why, instead = wrong
        yield _error("E027", f"STOCKANDFLOW['QUEUE'] can't be used. {why}", instead, None)


def _addresses_are_free(registry: Registry) -> Messages:
    for process in registry.processes:
        if process.slug in RESERVED:
            yield _error(
                "E028",
                f"The process {process.slug!r} can't be reached: another page has the address {process.slug + '/'!r}.",
                f"Give it another slug than {', '.join(map(repr, RESERVED))}.",
                process,
            )


def _scope_is_there(_: Registry) -> Messages:
    try:
        scope_function()
    except DeclarationError as error:
        yield _error(
            "E029", str(error), "Correct the path; without the setting everybody sees all objects.", None
        )


def _origins_can_be_named(_: Registry) -> Messages:
    if wrong := no_origins(conf().embed_origins):
        yield _error(
            "E030",
            f"STOCKANDFLOW['EMBED_ORIGINS'] has {', '.join(map(repr, wrong))}, which names nobody's pages.",
            "Write a list of origins without a path, e.g. ['https://wiki.example.org'], or [\"'self'\"] for your own.",
            None,
        )


def _groups_can_be_hidden(_: Registry) -> Messages:
    if wrong := why_no_least(conf().min_cell):
        yield _error(
            "E031",
            f"STOCKANDFLOW['MIN_CELL'] is {wrong.partition('; ')[0]}, from which on no group can be told.",
            "Write a whole number from 2, such as 5, or None to hide nothing.",
            None,
        )


def _permissions_exist(registry: Registry) -> Messages:
    known = {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in (
            *(f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    }
    for process in registry.processes:
        if process.permission is not None and process.permission not in known:
            yield _warning(
                "W004",
                f"The process {process.slug!r} asks for the permission {process.permission!r}, which no installed "
                "model defines, so only superusers see it.",
                "Correct the name, or ignore this where an authentication backend grants it.",
                process,
            )


def _every_stock_is_reached(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        for stock in tracker.stocks:
            missing = [
                side
                for side, flows in (("into", registry.inflows(stock)), ("out of", registry.outflows(stock)))
                if tracker.derived and not flows
            ]
            if len(missing) == 2:
                yield _warning(
                    "W001",
                    f'No flow leads into or out of {stock.slug!r}, so all its moves are reported as "Other".',
                    "Declare flows for it, with None as source or sink for external.",
                    stock,
                )


def _capture_sees_everything(registry: Registry) -> Messages:
    for tracker in registry.trackers:
        connection = connections[database_of(tracker)]
        method = method_for(tracker, connection)
        if method.by_triggers:
            continue
        if tracker.derived:
            unseen = "; ".join(blind_spots(tracker, method, connection.vendor))
            yield _warning(
                "W002",
                f"The tracker {tracker.slug!r} can't be captured by triggers: {method.reason}. Signals capture it "
                f"instead, which can't see {unseen}; that appears as unexplained until the next sweep.",
                " ".join((*cures(tracker), "Where the next sweep is soon enough, silence the warning.")),
                tracker,
            )
        elif managers := unhooked(tracker):
            yield _warning(
                "W010",
                f"The tracker {tracker.slug!r} is captured by signals: {method.reason}. Bulk writes through "
                f"{', '.join(managers)} send none, so what they move appears as unexplained.",
                "Give the model 'objects = TrackedQuerySet.as_manager()' and in its Meta 'base_manager_name = "
                '"objects"\'; a queryset of your own takes TrackedQuerySet as its first base.',
                tracker,
            )


RULES: tuple[Callable[[Registry], Messages], ...] = (
    _unique_slugs,
    _stock_facets_resolve,
    _flow_facets_resolve,
    _facets_of_a_tracker_agree,
    _one_facet_a_slug,
    _filters_stay_the_same,
    _declared_values_fit,
    _questions_have_answers,
    _event_models_are_sound,
    _subjects_match,
    _one_tracker_a_stock,
    _tracked_fields_resolve,
    _one_flow_a_move,
    _stocks_of_a_tracker_exclude_each_other,
    _stand_ins_are_no_stocks,
    _stand_ins_differ_by_more_than_case,
    _keys_are_single,
    _flows_stay_in_their_tracker,
    _events_are_read_where_they_are_written,
    _settings_are_known,
    _settings_are_sound,
    _queue_is_there,
    _addresses_are_free,
    _scope_is_there,
    _origins_can_be_named,
    _groups_can_be_hidden,
    _permissions_exist,
    _every_stock_is_reached,
    _capture_sees_everything,
)
