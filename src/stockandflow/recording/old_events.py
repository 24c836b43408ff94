"""Old events: those before a horizon go, but for what still tells where the subjects are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet

from stockandflow.conf import conf
from stockandflow.models import (
    ALL,
    Delivery,
    Origin,
    StockRecord,
    Watermark,
)
from stockandflow.models.clock import SETTLING, database_now, writing
from stockandflow.periods import Grain
from stockandflow.recording.horizons import computable_since
from stockandflow.recording.ledgers import Ledger
from stockandflow.recording.touches import LEVELS
from stockandflow.registry import Registry

BATCH = 1000

Progress = Callable[[str, int], None]
"""Called with what is being deleted, and how much of it has been."""


@dataclass(frozen=True)
class OldEvents:
    """The events of one model before ``horizon``, on the database that holds them.

    Superfluous are those of a subject that a later one before the horizon follows, and all of subjects that are gone
    and were outside by then. They are deleted in the order of time, and what is left of a subject's history begins with
    its opening balance from the same instant on: no sweep sees a gap.
    """

    registry: Registry
    model: type[Any]
    ledgers: tuple[Ledger, ...]
    horizon: datetime

    @property
    def label(self) -> str:
        label: str = self.model._meta.label_lower
        return label

    @property
    def using(self) -> str:
        return router.db_for_read(self.model)

    def all(self) -> QuerySet[Any]:
        """The events before the horizon."""
        return self._events().filter(timestamp__lt=self.horizon)

    def superfluous(self) -> QuerySet[Any]:
        """Those that go. No query yet."""
        field: Any = self.model._meta.get_field("subject")
        subject, key = field.remote_field.model, field.target_field.attname
        its = self._events().filter(tracker=OuterRef("tracker"), subject=OuterRef("subject"))
        later = its.filter(
            Q(timestamp__gt=OuterRef("timestamp")) | Q(timestamp=OuterRef("timestamp"), pk__gt=OuterRef("pk"))
        )
        followed = later.filter(timestamp__lt=self.horizon)
        rows: QuerySet[Any] = subject._base_manager.using(self.using)
        living = Exists(rows.filter(**{key: OuterRef("subject")}))
        derived = Q(tracker__in=[tracker.slug for tracker in self._trackers if tracker.derived])
        one_dimension = Exists(followed) | (Q(sink="") & (Exists(later) | ~living))
        # A function may serve several dimensions at once: what led to a state stands until something leads from it.
        several = Q(sink="") | Exists(followed.filter(source=OuterRef("sink")))
        return self.all().filter((derived & one_dimension) | (~derived & several))

    def why_not(self) -> list[str]:
        """Why the events can't go yet, in words; nothing where they can."""
        return [*self._unread(), *self._undelivered(), *self._uncounted()]

    def settle(self) -> None:
        """Note the horizon, before the first event goes; recordings that began without it begin anew."""
        using = router.db_for_write(Watermark)
        with writing(using):
            marks = Watermark.objects.using(using)
            for calendar in (LEVELS, *(ledger.calendar.key for ledger in self.ledgers)):
                marks.get_or_create(event_model=self.label, calendar=calendar)
            list(marks.select_for_update().order_by("pk"))
            marks.filter(event_model=self.label).update(horizon=self.horizon, version=F("version") + 1)

    def delete(self, progress: Progress | None = None) -> int:
        """Delete what is superfluous, oldest first, and turn what is left into opening balances; how many went."""
        deleted = 0
        for keys, subjects in self._batches():
            with transaction.atomic(using=self.using):
                done = Delivery.objects.using(self.using).filter(event_model=self.label, event_id__in=keys)
                done.filter(status=Delivery.Status.DONE).delete()
                self._events().filter(pk__in=keys).delete()
                left = list(self._without_beginning(subjects).values_list("pk", flat=True))
                self._events().filter(pk__in=left).update(source="", flow="", origin=Origin.INITIAL)
            deleted += len(keys)
            if progress:
                progress(f"events of {self.model._meta.label}", deleted)
        return deleted

    @property
    def _trackers(self) -> list[Any]:
        return [tracker for tracker in self.registry.trackers if tracker.events is self.model]

    def _events(self) -> QuerySet[Any]:
        # Not by a manager, which may leave rows out.
        events: QuerySet[Any] = self.model._base_manager.using(self.using)
        return events.order_by()

    def _without_beginning(self, subjects: Collection[Any]) -> QuerySet[Any]:
        """The first events of these subjects, where they begin in a stock."""
        before = self._events().filter(tracker=OuterRef("tracker"), subject=OuterRef("subject"))
        before = before.filter(
            Q(timestamp__lt=OuterRef("timestamp")) | Q(timestamp=OuterRef("timestamp"), pk__lt=OuterRef("pk"))
        )
        slugs = [tracker.slug for tracker in self._trackers if tracker.derived]
        its = self.all().filter(tracker__in=slugs, subject__in=subjects).exclude(source="")
        return its.exclude(Exists(before))

    def _batches(self) -> Iterator[tuple[list[int], set[Any]]]:
        """The keys of superfluous events in the order of time, some at a time, with their subjects' keys."""
        after = Q()
        names = ("timestamp", "pk", "subject_id")
        while rows := list(
            self.superfluous().filter(after).order_by("timestamp", "pk").values_list(*names)[:BATCH]
        ):
            at, last, _ = rows[-1]
            after = Q(timestamp__gte=at) & (Q(timestamp__gt=at) | Q(pk__gt=last))
            yield [key for _, key, _ in rows], {subject for _, _, subject in rows}

    def _unread(self) -> Iterator[str]:
        """Days that the flow records don't hold, or not for good."""
        moves = self.all().exclude(origin=Origin.INITIAL)
        found = moves.aggregate(first=Min("timestamp"), last=Max("pk"))
        if found["first"] is None:
            return
        before = Watermark.horizon_of(self.model)
        marks = {mark.calendar: mark for mark in Watermark.objects.filter(event_model=self.label)}
        for ledger in self.ledgers:
            calendar, mark = ledger.calendar, marks.get(ledger.calendar.key)
            what = f"flow records of {self.model._meta.label} in the calendar {calendar.key!r}"
            if mark is None or found["last"] > mark.event_id or mark.anew_since is not None:
                yield f"some of its events aren't in the {what} yet; {self._when_to_record(mark, found['last'])}"
                continue
            until = computable_since(calendar, self.horizon) or self.horizon
            since = computable_since(calendar, before) or calendar.period(Grain.DAY, found["first"]).start
            if not _is_final(ledger, since, until):
                yield (
                    f"not all days before {until:%Y-%m-%d} are final in the {what}; run 'manage.py stockandflow record'"
                )

    def _when_to_record(self, mark: Watermark | None, last: int) -> str:
        """What to do so that all events up to the key ``last`` are in the flow records."""
        unread = self._events().filter(pk__gt=mark.event_id if mark else 0, pk__lte=last)
        written = unread.aggregate(last=Max("recorded_at"))["last"]
        if written is None or written + SETTLING < database_now(self.using):
            return "run 'manage.py stockandflow record'"
        at = (written + SETTLING + timedelta(minutes=1)).replace(second=0, microsecond=0)
        return (
            "events count as recorded an hour after they were written, so run 'manage.py stockandflow record' after "
            f"{at:%Y-%m-%d %H:%M %Z}, and prune then"
        )

    def _undelivered(self) -> Iterator[str]:
        waiting = Delivery.objects.using(self.using).filter(event_model=self.label)
        waiting = waiting.exclude(status=Delivery.Status.DONE)
        if self.all().filter(pk__in=waiting.values("event_id")).exists():
            yield (
                f"some of its events before {self.horizon:%Y-%m-%d} have deliveries that aren't done; deliver them, "
                "or delete them where nobody waits for them"
            )

    def _uncounted(self) -> Iterator[str]:
        """Stocks whose levels after the horizon would have to be carried from a count before it."""
        slugs = {stock.slug for tracker in self._trackers for stock in tracker.stocks}
        until = min(
            computable_since(ledger.calendar, self.horizon) or self.horizon for ledger in self.ledgers
        )
        counts = StockRecord.objects.exclude(method="derived").filter(stock__in=slugs).order_by()
        before = set(counts.filter(timestamp__lt=self.horizon).values_list("stock", flat=True).distinct())
        at = set(counts.filter(timestamp__range=(self.horizon, until)).values_list("stock", flat=True))
        for slug in sorted(before - at):
            yield (
                f"the stock {slug!r} has no count between {self.horizon:%Y-%m-%d} and {until:%Y-%m-%d} from which its "
                "later levels can be carried"
            )


def _is_final(ledger: Ledger, since: datetime, until: datetime) -> bool:
    """Whether each day of the range has a total of each flow, and none that may still change."""
    days = sum(1 for _ in ledger.calendar.periods(Grain.DAY, since, until))
    totals = ledger.records().filter(grain=Grain.DAY, source=ALL, start__gte=since, start__lt=until)
    final = totals.filter(computed_at__gte=F("end") + conf().allowed_lateness)
    known = dict(final.values_list("flow").annotate(number=Count("pk")))
    return all(known.get(slug) == days for slug in ledger.slugs)
