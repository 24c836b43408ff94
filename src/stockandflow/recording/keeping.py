"""Keeping levels by difference: of what was derived, only that is written which the records don't say yet.

A final level that changes is a new revision of its record, and leaves a restatement. What was known of a facet that its
stock doesn't have any more stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import router
from django.db.models import QuerySet

from stockandflow.batches import batched
from stockandflow.conf import conf
from stockandflow.models import LevelWatermark, Restatement, StockFacetRecord, StockRecord, Watermark
from stockandflow.models.clock import writing
from stockandflow.periods import Status
from stockandflow.recording.anchors import Facets, Known
from stockandflow.recording.carrying import Level
from stockandflow.recording.dirty import RECOMPUTED
from stockandflow.recording.touches import COUNTS, LEVELS, Causes, Mark, Touch
from stockandflow.spans import Span, stretches, within

AT_ONCE = 1000


@dataclass(frozen=True)
class Derived:
    """Levels derived as of one instant, and not kept yet. ``after`` is the instant of the run before, if any."""

    at: datetime
    after: datetime | None
    levels: Mapping[Known, Level]
    touches: Sequence[Touch]
    marks: Sequence[Mark]
    reach: Mapping[tuple[str, str], Span]
    """Stock slug, time zone → since and until when all midnights are derived."""
    facets: Mapping[str, frozenset[str]]
    """Stock slug → the facets whose values are carried."""


@dataclass(frozen=True)
class Kept:
    """How many levels a run wrote that are new or changed, and how many final numbers, of facet values too, changed."""

    written: int = 0
    restated: int = 0


def keep(derived: Derived) -> Kept | None:
    """Write what differs from the levels that are kept, in one transaction.

    A count of the very instant stays. None, and nothing is written, where another run was quicker: what this one read
    is older. At most 12 queries, and one more for every 1,000 records.
    """
    using = router.db_for_write(StockRecord)
    with writing(using):
        marks = Watermark.objects.using(using)
        mark, _ = marks.get_or_create(event_model=COUNTS, calendar=LEVELS)
        if marks.select_for_update().get(pk=mark.pk).computed_at != derived.after:
            return None
        kept = _Difference(derived, using).write()
        _advance(derived, using)
        marks.filter(pk=mark.pk).update(computed_at=derived.at)
    return kept


def _advance(derived: Derived, using: str) -> None:
    """Note what was read, and how far the levels reach."""
    marks = Watermark.objects.using(using)
    for mark in derived.marks:
        row, _ = marks.get_or_create(event_model=mark.event_model, calendar=LEVELS)
        marks.filter(pk=row.pk, event_id__lt=mark.last).update(event_id=mark.last)
        if mark.anew_since is not None:
            # Unless more was changed in place meanwhile.
            marks.filter(pk=row.pk, version=mark.version).update(anew_since=None)
    reach = LevelWatermark.objects.using(using)
    known = {
        (one.stock, one.timezone): one for one in reach.filter(stock__in={slug for slug, _ in derived.reach})
    }
    moved = []
    for key, (since, until) in derived.reach.items():
        one = known.get(key) or LevelWatermark(stock=key[0], timezone=key[1])
        if (one.since, one.until) != (since, until):
            one.since, one.until = since, until
            moved.append(one)
    reach.bulk_create([one for one in moved if one.pk is None])
    reach.bulk_update([one for one in moved if one.pk is not None], ["since", "until"])


class _Difference:
    """The levels of a run beside those that are kept, and what is to be written."""

    def __init__(self, derived: Derived, using: str) -> None:
        self.derived, self.using, self.causes = derived, using, Causes(derived.touches)
        self.lateness = conf().allowed_lateness
        self.old: dict[Known, StockRecord] = {}
        self.old_facets: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
        self.same: list[int] = []
        self.changed: list[StockRecord] = []
        self.emptied: list[int] = []
        self.facets: dict[Known, Facets] = {}
        self.restated: list[Restatement] = []
        if derived.levels:
            self._read()
        for key, level in derived.levels.items():
            self._compare(key, level)

    def _read(self) -> None:
        records = self._records(self.derived.levels)
        self.old = {(one.stock, one.timestamp): one for one in records}
        ours = records.filter(method="derived").values("pk")
        facets = StockFacetRecord.objects.using(self.using).filter(stock_record__in=ours).order_by("id")
        for pk, facet, value, count in facets.values_list("stock_record", "facet", "value", "count"):
            self.old_facets[pk][facet][value] = count

    def _records(self, keys: Mapping[Known, object]) -> QuerySet[StockRecord]:
        """The records of these stocks around these instants."""
        windows = within(stretches(at for _, at in keys))
        records = StockRecord.objects.using(self.using).order_by()
        return records.filter(windows, stock__in={slug for slug, _ in keys})

    def _compare(self, key: Known, level: Level) -> None:
        old = self.old.get(key)
        if old is not None and (old.method != "derived" or old.carried_from is None):
            return  # a count, or a level that the project has brought
        before: Facets = self.old_facets.get(old.pk, {}) if old else {}
        level = replace(level, facets={**self._past_facets(key[0], before), **level.facets})
        final = old if old and self._is_final(old) else None
        if old and (old.count, old.carried_from, before) == (level.count, level.carried_from, level.facets):
            if final is None:
                self.same.append(old.pk)
            return
        restated = list(self._restatements(key, level, final, before)) if final else []
        self.restated += restated
        self.changed.append(
            StockRecord(
                stock=key[0],
                timestamp=key[1],
                count=level.count,
                method="derived",
                # A final number that stands keeps since when it has stood.
                computed_at=final.computed_at if final and not restated else self.derived.at,
                carried_from=level.carried_from,
                revision=old.revision + bool(restated) if old else 1,
            )
        )
        if before != level.facets:
            self.facets[key] = level.facets
            self.emptied += [old.pk] if old and before else []

    def _past_facets(self, slug: str, before: Facets) -> Facets:
        """Those of these facets that the stock doesn't have any more: what was known of them stays."""
        now = self.derived.facets.get(slug, ())
        return {facet: values for facet, values in before.items() if facet not in now}

    def _is_final(self, old: StockRecord) -> bool:
        return Status.of(old.timestamp, old.computed_at, self.derived.at, self.lateness) is Status.FINAL

    def _restatements(
        self, key: Known, level: Level, old: StockRecord, before: Facets
    ) -> Iterator[Restatement]:
        """What changes of a final level: the count, and the values of those facets that were known.

        A facet whose values aren't known any more, as after late events that kept none, is restated to None.
        """
        slug, at = key
        numbers: dict[tuple[str, str], tuple[int, int | None]] = {("", ""): (old.count, level.count)}
        for facet, known in before.items():
            now = level.facets.get(facet)
            for value in known.keys() | (now or {}).keys():
                numbers[facet, value] = known.get(value, 0), None if now is None else now.get(value, 0)
        causes = () if old.carried_from is None else self.causes.concerning(slug, at, old.carried_from)
        cause = ", ".join(causes) or RECOMPUTED
        for (facet, value), (old_count, new_count) in sorted(numbers.items()):
            if old_count != new_count:
                yield Restatement(
                    kind="stock",
                    slug=slug,
                    start=at,
                    end=at,
                    facet=facet,
                    value=value,
                    revision=old.revision + 1,
                    old_count=old_count,
                    new_count=new_count,
                    old_computed_at=old.computed_at,
                    at=self.derived.at,
                    cause=cause,
                )

    def write(self) -> Kept:
        """Write the new and the changed records, and tell of the others that they were derived anew."""
        records = StockRecord.objects.using(self.using)
        for pks in batched(self.same, AT_ONCE):
            records.filter(pk__in=pks).update(computed_at=self.derived.at)
        for pks in batched(self.emptied, AT_ONCE):
            StockFacetRecord.objects.using(self.using).filter(stock_record__in=pks).delete()
        StockRecord.objects.db_manager(self.using).put(self.changed)
        self._write_facets({key: values for key, values in self.facets.items() if values})
        Restatement.objects.using(self.using).bulk_create(self.restated, batch_size=AT_ONCE)
        return Kept(len(self.changed), len(self.restated))

    def _write_facets(self, facets: Mapping[Known, Facets]) -> None:
        if not facets:
            return
        keys = self._records(facets).filter(method="derived").values_list("stock", "timestamp", "pk")
        StockFacetRecord.objects.using(self.using).bulk_create(
            [
                StockFacetRecord(stock_record_id=pk, facet=facet, value=value, count=count)
                for slug, at, pk in keys
                for facet, values in facets.get((slug, at), {}).items()
                for value, count in values.items()
            ],
            batch_size=AT_ONCE,
        )
