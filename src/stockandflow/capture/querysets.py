"""The queryset that a project gives its model, so that bulk writes are captured where only signals can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, transaction
from django.db.models import Q
from django.db.models.constants import LOOKUP_SEP, OnConflict
from django.db.models.expressions import RawSQL, Subquery
from django.db.models.sql import InsertQuery, Query
from django.db.models.sql.where import ExtraWhere

from stockandflow.capture import values
from stockandflow.capture.recorded import recorded
from stockandflow.capture.signals import tell, under_way, watching
from stockandflow.capture.values import Judge, Kept, Move, Snapshot
from stockandflow.declarations import ModelTracker
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.predicate import nodes

Row = TypeVar("Row", bound=models.Model)
Keys = Sequence[Any]

ALIKE = 100
"""How many objects are looked for at a time by several fields each; SQLite doesn't nest conditions much deeper."""


class TrackedQuerySet(models.QuerySet[Row]):
    """A queryset whose bulk writes are captured too, for models whose trackers signals serve.

    ::

        class Subscription(models.Model):
            objects = TrackedQuerySet.as_manager()

            class Meta:
                base_manager_name = "objects"  # for what Django itself writes in bulk, e.g. SET_NULL, items.add(…)

    A queryset of the project's own has it as its first base. ``update``, ``bulk_create``, ``bulk_update`` and their
    asynchronous twins write their events in the transaction of the change. Where no tracker is served by signals,
    or none of the fields that it tracks is written, they are Django's own, and cost nothing more.
    """

    captures_bulk_writes = True
    _inserted: list[Any] | None = None

    def update(self, **kwargs: Any) -> int:
        """As Django's; raises InvalidInput where it would give subjects other keys.

        Rows are locked, written and compared 500 at a time in the order of their keys, in one transaction. Where new
        values can depend on other rows that are written too, all are written at once, and their keys held in memory.
        """
        self._for_write = True
        trackers = [tracker for tracker in watching(self.model, self.db) if _concerns(tracker, kwargs)]
        if not trackers or self.query.is_sliced or self.query.combinator or self.query.distinct_fields:
            return super().update(**kwargs)
        found = 0
        with _Capture.writing(trackers, self.db) as capture:
            for page, keys in _pages(self, kwargs):
                with capture.of(keys):
                    found += super(TrackedQuerySet, page).update(**kwargs)
        self._result_cache = None
        return found

    update.alters_data = True  # type: ignore[attr-defined]

    def _raw_delete(self, using: str | None) -> int:
        using = using or self.db
        trackers = watching(self.model, using)
        if not trackers:
            return super()._raw_delete(using)
        found = 0
        with _Capture.writing(trackers, using) as capture:
            for page, keys in _pages(self.using(using), {}):
                with capture.of(keys, ending=True):
                    found += super(TrackedQuerySet, page)._raw_delete(using) or 0
        return found

    _raw_delete.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
    ) -> list[Row]:
        """As Django's. Of conflicts that are ignored, the database says which rows it has inserted nevertheless.

        Conflicts that update are looked for before and after, by the unique fields. Should another transaction insert
        an object with the same key in that moment, its move is recorded twice, and one of them is *unexplained*.
        """
        self._for_write = True
        trackers, objs = watching(self.model, self.db), list(objs)
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "ignore_conflicts": ignore_conflicts,
            "update_conflicts": update_conflicts,
            "update_fields": None if update_fields is None else list(update_fields),
            "unique_fields": None if unique_fields is None else list(unique_fields),
        }
        if not trackers or not objs:
            return super().bulk_create(objs, **options)
        with _Capture.writing(trackers, self.db) as capture:
            if update_conflicts:
                return self._upsert(objs, options, capture)
            capture.expect([obj.pk for obj in objs if obj.pk is not None])
            self._inserted = [] if ignore_conflicts else None
            try:
                made = super().bulk_create(objs, **options)
                keys = (
                    [obj.pk for obj in made if obj.pk is not None]
                    if self._inserted is None
                    else self._inserted
                )
            finally:
                self._inserted = None
            capture.note_new(keys)
        return made

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _upsert(self, objs: list[Row], options: dict[str, Any], capture: _Capture) -> list[Row]:
        there = list(_conflicting(self, objs, options["unique_fields"]))
        with capture.of(there) as keys:
            made = super().bulk_create(objs, **options)
            keys.extend(_conflicting(self, objs, options["unique_fields"]))
            keys.extend(obj.pk for obj in made if obj.pk is not None)
        return made

    def _insert(self, objs: Any, fields: Any, *args: Any, **options: Any) -> Any:
        using = options.get("using") or self.db
        returned = connections[using].features.can_return_rows_from_bulk_insert
        if self._inserted is None or options.get("on_conflict") != OnConflict.IGNORE or not returned:
            inherited: Any = super()
            return inherited._insert(objs, fields, *args, **options)  # noqa: SLF001 - its own
        # Django doesn't ask which rows are new where conflicts are ignored; the database would say.
        key: Any = self.model._meta.pk
        query: Any = InsertQuery(self.model, on_conflict=OnConflict.IGNORE)
        query.insert_values(fields, objs)
        compiler = query.get_compiler(using=using)
        compiler.returning_fields = [key]
        with connections[using].cursor() as cursor:
            for sql, params in compiler.as_sql():
                cursor.execute(sql, params)
                rows = cursor.fetchall()
                converters = compiler.get_converters([key.get_col(self.model._meta.db_table)])
                if converters:
                    rows = compiler.apply_converters(rows, converters)
                self._inserted += [found for (found,) in rows]
        return []


class _Capture:
    """The moves of one bulk write, in one transaction."""

    def __init__(self, trackers: Sequence[ModelTracker], using: str) -> None:
        self.judges = [Judge(tracker) for tracker in trackers]
        self.using = using

    @classmethod
    @contextmanager
    def writing(cls, trackers: Sequence[ModelTracker], using: str) -> Iterator[_Capture]:
        with transaction.atomic(using=using):
            values.write_first(trackers[0], using)
            yield cls(trackers, using)

    @contextmanager
    def of(self, keys: Iterable[Any], *, ending: bool = False) -> Iterator[list[Any]]:
        """Record what the block does to the rows with these primary keys, and with those added to the list it gets.

        ``ending`` says that rows may be gone afterwards, so that their facets are read before.
        """
        all_keys = list(keys)
        before: list[dict[Any, Snapshot]] = []
        kept: list[dict[Any, Kept]] = []
        for judge in self.judges:
            before.append(self._known(judge.tracker, all_keys))
            kept.append({})
            for chunk in _chunks(all_keys if ending else []):
                kept[-1] |= values.kept(judge.tracker, chunk, self.using)
        yield all_keys
        all_keys = list(dict.fromkeys(all_keys))
        for judge, known, facets in zip(self.judges, before, kept, strict=True):
            self._record(judge, all_keys, known, facets)

    def expect(self, keys: Keys) -> None:
        """Rows with these primary keys are about to be created; what was before them under a key shall be recorded."""
        for judge in self.judges:
            if judge.tracker.derived:
                self._known(judge.tracker, keys)

    def note_new(self, keys: Keys) -> None:
        """Record the creation of the rows with these primary keys."""
        for judge in self.judges:
            self._record(judge, keys, {}, {})

    def _known(self, tracker: ModelTracker, keys: Keys) -> dict[Any, Snapshot]:
        """What is recorded: where the row is, save that a save under way has it from its own beginning."""
        known: dict[Any, Snapshot] = {}
        for chunk in _chunks(keys):
            known |= recorded(tracker, chunk, self.using)
        saved = under_way(tracker, self.using)
        return known | {key: saved[key] for key in keys if key in saved}

    def _record(self, judge: Judge, keys: Keys, before: dict[Any, Snapshot], kept: dict[Any, Kept]) -> None:
        for chunk in _chunks(keys):
            after = values.read(judge.tracker, chunk, self.using)
            moves = [
                Move(key, source, sink)
                for key in chunk
                for source, sink in judge.moves(before.get(key), after.get(key))
            ]
            values.write(judge.tracker, moves, self.using, kept.get)
            tell(judge.tracker, {key: after.get(key) for key in chunk}, self.using)


def _chunks(keys: Keys) -> Iterator[Keys]:
    for start in range(0, len(keys), values.CHUNK):
        yield keys[start : start + values.CHUNK]


Part = tuple["TrackedQuerySet[Any]", Keys]


def _pages(rows: TrackedQuerySet[Any], written: dict[str, Any]) -> Iterator[Part]:
    """The queryset in parts, each with its primary keys; at least one part, so that what is wrong is told."""
    keys = rows.order_by("pk").values_list("pk", flat=True)
    keys.query.standard_ordering = True
    if _depends_on_other_rows(rows, written):
        found = list(dict.fromkeys(keys))
        # Where rows have no locks, nobody else writes now, and so many keys would be too many parameters.
        yield (
            (rows.filter(pk__in=found) if connections[rows.db].features.has_select_for_update else rows),
            found,
        )
        return
    page, more = keys, True
    while more:
        read = list(page[: values.CHUNK])
        found = list(dict.fromkeys(read))
        yield rows.filter(pk__in=found), found
        more = len(read) == values.CHUNK
        if more:
            page = keys.filter(pk__gt=found[-1])


def _depends_on_other_rows(rows: models.QuerySet[Any], written: dict[str, Any]) -> bool:
    """Whether to write the rows one after another could come to another end than to write them at once."""
    query = rows.query
    tables = [join.table_name for alias, join in query.alias_map.items() if query.alias_refcount.get(alias)]
    if tables.count(rows.model._meta.db_table) > 1 or query.extra or query.extra_tables:
        return True
    expressions = {name: value for name, value in written.items() if hasattr(value, "resolve_expression")}
    for part in (query.where, *query.annotations.values(), *expressions.values()):
        if any(isinstance(node, Query | Subquery | RawSQL | ExtraWhere) for node in _parts(part)):
            return True
    # MariaDB writes in the order that is asked for, which can keep a unique field from being doubled on the way.
    return bool(query.order_by) or bool(_unique(rows.model) & expressions.keys())


def _parts(node: Any) -> Iterator[Any]:
    if isinstance(node, models.QuerySet):
        yield node.query
    elif isinstance(node, Q):
        for child in node.children:
            yield from _parts(child[1] if isinstance(child, tuple) else child)
    elif hasattr(node, "resolve_expression") or hasattr(node, "get_source_expressions"):
        for part in nodes(node):
            yield part
            if isinstance(part, Q):
                yield from _parts(part)


def _unique(model: type[models.Model]) -> set[str]:
    """The names of the fields that take part in a constraint over several rows."""
    fields = {field.name for field in model._meta.concrete_fields}
    found = {field.name for field in model._meta.concrete_fields if field.unique}
    found.update(name for names in model._meta.unique_together for name in names)
    for constraint in model._meta.constraints:
        if not isinstance(constraint, models.CheckConstraint):
            found.update(getattr(constraint, "fields", None) or fields)
    options: Any = model._meta
    return found | {options.get_field(name).attname for name in found}


def _names(field: Any) -> set[str]:
    return {field.name, getattr(field, "attname", field.name)}


def _concerns(tracker: ModelTracker, written: dict[str, Any]) -> bool:
    """Whether writing these fields can move the tracker's subjects; raises InvalidInput where it would rename them."""
    events: Any = tracker.events
    target = events._meta.get_field("subject")
    key: Any = tracker.model._meta.pk
    keys = {"pk"} | _names(key) | _names(target.target_field)
    if key.remote_field is not None:
        keys |= _names(key.target_field)
    if taken := sorted(keys & written.keys()):
        raise InvalidInput(
            f"update({taken[0]}=…) would give {tracker.model._meta.label} objects other keys, and the tracker "
            f"{tracker.slug!r} knows them by their keys: its events would tell of objects that aren't there. Create "
            "new objects and delete the old ones."
        )
    if tracker.derived:
        return True
    for path in tracker.fields_to_track:
        name = path.split(LOOKUP_SEP)[0]
        try:
            field: Any = key if name == "pk" else tracker.model._meta.get_field(name)
        except FieldDoesNotExist:
            continue  # told by a system check
        if getattr(field, "generated", False) or _names(field) & written.keys():
            return True
    return False


def _conflicting(
    rows: models.QuerySet[Any], objs: Sequence[models.Model], unique_fields: Sequence[str] | None
) -> list[Any]:
    """The primary keys of the rows that share a unique value with one of the objects."""
    options: Any = rows.model._meta
    if unique_fields:
        groups = [[options.pk.name if name == "pk" else name for name in unique_fields]]
    else:
        groups = [[field.name] for field in options.concrete_fields if field.unique]
        groups += [list(names) for names in options.unique_together]
        groups += [list(found.fields) for found in options.total_unique_constraints]
    found: dict[Any, None] = {}
    for start in range(0, len(objs), ALIKE):
        alike = Q()
        for names in groups:
            attnames = [options.get_field(name).attname for name in names]
            given = [[getattr(obj, name) for name in attnames] for obj in objs[start : start + ALIKE]]
            known = [
                row
                for row in given
                if not any(value is None or hasattr(value, "resolve_expression") for value in row)
            ]
            if len(attnames) == 1 and known:
                alike |= Q(**{f"{attnames[0]}__in": [value for (value,) in known]})
            elif known:
                for row in known:
                    alike |= Q(**dict(zip(attnames, row, strict=True)))
        if alike:
            there: Any = models.QuerySet(rows.model, using=rows.db).filter(alike)
            found |= dict.fromkeys(there.order_by().values_list("pk", flat=True))
    return list(found)
