"""Writing by difference: of what was computed, only that is written which the records don't say yet.

A final number that changes is a new revision of its record, and leaves a restatement. The values of a facet that its
flow doesn't have any more stay as they were: nothing is computed that could contradict them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stockandflow.batches import batched
from stockandflow.conf import conf
from stockandflow.models import ALL, FlowFacetRecord, FlowRecord, Restatement
from stockandflow.models.records import conflict_target
from stockandflow.periods import Grain, Period
from stockandflow.recording.ledgers import Ledger, Pair
from stockandflow.recording.moves import NOTHING, Line
from stockandflow.recording.windows import Measures

MEASURES = ("count", "subjects", "first_in_week", "first_in_month", "first_in_quarter", "first_in_year")
ORIGINS = ("imported", "swept", "initial")
AT_ONCE = 2000

Lines = Mapping[Period, Mapping[Pair, Line]]
Cause = Callable[[Period], str | None]
"""Why a final number of that period changes; None where the period isn't final yet."""


@dataclass
class Stored(Line):
    """A flow record as it is stored, with its facet records."""

    pk: int = 0
    revision: int = 1
    computed_at: datetime | None = None
    """Of what isn't stored, that of the flow's total."""
    facet_pks: dict[tuple[str, str], int] = field(default_factory=dict)

    def says(self, line: Line) -> bool:
        """Whether this is what the line holds."""
        return (self.measures, self.facets, self.origins) == (line.measures, line.facets, line.origins)


def stored(ledger: Ledger, grain: Grain, starts: Iterable[datetime]) -> dict[datetime, dict[Pair, Stored]]:
    """The records of the periods of that grain that begin then, by start. Two queries."""
    found: dict[datetime, dict[Pair, Stored]] = {}
    by_pk: dict[int, Stored] = {}
    records = ledger.records().filter(grain=grain, start__in=list(starts))
    rows = records.values_list(
        "pk", "start", "flow", "source", "sink", "revision", "computed_at", *ORIGINS, *MEASURES
    )
    for pk, start, flow, source, sink, revision, computed_at, *numbers in rows.iterator():
        line = Stored(
            tuple(numbers[3:]),
            origins=tuple(numbers[:3]),
            pk=pk,
            revision=revision,
            computed_at=computed_at,
        )
        by_pk[pk] = found.setdefault(start, {})[flow, source, sink] = line
    facets = FlowFacetRecord.objects.using(ledger.writing).filter(flow_record__in=records.values("pk"))
    for record, pk, facet, value, *measures in (
        facets.order_by().values_list("flow_record", "pk", "facet", "value", *MEASURES).iterator()
    ):
        by_pk[record].facets[facet, value] = tuple(measures)
        by_pk[record].facet_pks[facet, value] = pk
    return found


@dataclass
class Differences:
    """What is to be written for one ledger, collected period by period."""

    ledger: Ledger
    at: datetime
    lateness: timedelta = field(default_factory=lambda: conf().allowed_lateness)
    facets: dict[str, frozenset[str]] = field(default_factory=dict)
    """Flow slug → the facets that it has now."""
    unsettled: list[Period] = field(default_factory=list)
    """Those with records that aren't final. A final number keeps the instant since when it has stood."""
    made: list[tuple[Period, Pair, Line, int]] = field(default_factory=list)
    """With the revision of each."""
    changed: list[tuple[Period, Pair, Stored, Line, int]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    facets_gone: list[int] = field(default_factory=list)
    restatements: list[Restatement] = field(default_factory=list)
    first_changed: datetime | None = None
    """The start of the first period with a record that is new, changed or gone."""

    @property
    def records(self) -> int:
        """How many flow records are new, changed or gone."""
        return len(self.made) + len(self.changed) + len(self.gone)

    def compare(self, lines: Lines, cause: Cause) -> None:
        """Note how the lines differ from what is stored for their periods, all of one grain. Two queries."""
        if not lines:
            return
        grain = next(iter(lines)).grain
        before = stored(self.ledger, grain, [period.start for period in lines])
        for period, new in lines.items():
            old, written = before.get(period.start, {}), self.records
            final = period.end + self.lateness
            if any(line.computed_at is None or line.computed_at < final for line in old.values()):
                self.unsettled.append(period)
            self._compare(period, old, new, cause(period))
            if self.first_changed is None and self.records > written:
                self.first_changed = period.start

    def _compare(
        self, period: Period, old: Mapping[Pair, Stored], new: Mapping[Pair, Line], why: str | None
    ) -> None:
        # A flow without its total row wasn't computed, so that nothing was said of it.
        said = {flow: line.computed_at for (flow, *pair), line in old.items() if pair == [ALL, ALL]}
        of_others = max((at for at in said.values() if at is not None), default=None)
        for pair, computed in new.items():
            known, flow = old.get(pair), pair[0]
            line = computed if known is None else self._with_past_facets(flow, known, computed)
            if known is not None and known.says(line):
                continue
            other = flow not in self.ledger.registered
            was = known or Stored(computed_at=of_others if other else said.get(flow))
            reason = why if other or flow in said else None
            revision = was.revision + self._restate(period, pair, was, line, reason)
            if known is None:
                self.made.append((period, pair, line, revision))
            else:
                self.changed.append((period, pair, known, line, revision))
                self.facets_gone += [pk for key, pk in known.facet_pks.items() if key not in line.facets]
        for pair, was in old.items():
            if pair not in new:
                self.gone.append(was.pk)
                self.facets_gone += was.facet_pks.values()
                self._restate(period, pair, was, Line(), why)

    def _with_past_facets(self, flow: str, known: Stored, line: Line) -> Line:
        """The line with the values that are stored of facets which the flow doesn't have any more."""
        if flow not in self.facets:
            self.facets[flow] = self.ledger.facets_of(flow)
        now = self.facets[flow]
        past = {key: measures for key, measures in known.facets.items() if key[0] not in now}
        if not past:
            return line
        mine = {key: measures for key, measures in line.facets.items() if key[0] in now}
        return replace(line, facets={**past, **mine})

    def _restate(self, period: Period, pair: Pair, old: Stored, new: Line, why: str | None) -> bool:
        """Note the numbers of a final period that change; whether there are any. First moves are none of their own."""
        if why is None:
            return False
        numbers: list[tuple[str, str, Measures, Measures]] = [("", "", old.measures, new.measures)]
        said = {facet for facet, _ in old.facets}
        for facet, value in sorted(old.facets.keys() | new.facets.keys()):
            if old.measures[0] and facet not in said:
                continue  # it has come since, and nothing was said of its values
            key = facet, value
            numbers.append((*key, old.facets.get(key, NOTHING), new.facets.get(key, NOTHING)))
        found = [
            Restatement(
                kind="flow",
                slug=pair[0],
                source=pair[1],
                sink=pair[2],
                calendar=self.ledger.calendar.key,
                grain=period.grain,
                start=period.start,
                end=period.end,
                facet=facet,
                value=value,
                revision=old.revision + 1,
                old_count=before[0],
                new_count=after[0],
                old_subjects=before[1],
                new_subjects=after[1],
                old_computed_at=old.computed_at,
                at=self.at,
                cause=why,
            )
            for facet, value, before, after in numbers
            if before[:2] != after[:2]
        ]
        self.restatements += found
        return bool(found)

    def write(self) -> None:
        """Write it all, and that the periods were computed. To be called in a transaction."""
        using = self.ledger.writing
        records, facets = FlowRecord.objects.using(using), FlowFacetRecord.objects.using(using)
        for pks in batched(self.facets_gone, AT_ONCE):
            facets.filter(pk__in=pks).delete()
        for pks in batched(self.gone, AT_ONCE):
            records.filter(pk__in=pks)._raw_delete(using)
        for grain in dict.fromkeys(period.grain for period in self.unsettled):
            starts = [period.start for period in self.unsettled if period.grain is grain]
            for some in batched(starts, AT_ONCE):
                self.ledger.records().filter(grain=grain, start__in=some).update(computed_at=self.at)
        for made in batched(self.made, AT_ONCE):
            new = records.bulk_create([self._record(*one) for one in made])
            rows = self._facets(
                (record.pk, line.facets) for record, (_, _, line, _) in zip(new, made, strict=True)
            )
            facets.bulk_create(rows, batch_size=AT_ONCE)
        for changed in batched(self.changed, AT_ONCE):
            records.bulk_create(
                [
                    # Where only first moves changed, a final number stands since it was computed.
                    self._record(period, pair, line, revision, None if revision > old.revision else old)
                    for period, pair, old, line, revision in changed
                ],
                update_conflicts=True,
                update_fields=[*MEASURES, *ORIGINS, "computed_at", "revision"],
                unique_fields=conflict_target(using, "calendar", "grain", "start", "flow", "source", "sink"),
            )
            facets.bulk_create(
                self._facets(
                    (old.pk, {key: one for key, one in line.facets.items() if old.facets.get(key) != one})
                    for _, _, old, line, _ in changed
                ),
                batch_size=AT_ONCE,
                update_conflicts=True,
                update_fields=MEASURES,
                unique_fields=conflict_target(using, "flow_record", "facet", "value"),
            )
        Restatement.objects.using(using).bulk_create(self.restatements, batch_size=AT_ONCE)

    def _record(
        self, period: Period, pair: Pair, line: Line, revision: int, known: Stored | None = None
    ) -> FlowRecord:
        flow, source, sink = pair
        final = period.end + self.lateness
        stands = known.computed_at if known else None
        return FlowRecord(
            calendar=self.ledger.calendar.key,
            grain=period.grain,
            start=period.start,
            end=period.end,
            flow=flow,
            source=source,
            sink=sink,
            computed_at=stands if stands and stands >= final else self.at,
            revision=revision,
            **dict(zip(MEASURES + ORIGINS, line.measures + line.origins, strict=True)),
        )

    @staticmethod
    def _facets(lines: Iterable[tuple[int, Mapping[tuple[str, str], Measures]]]) -> Iterator[FlowFacetRecord]:
        for record, values in lines:
            for (facet, value), measures in values.items():
                yield FlowFacetRecord(
                    flow_record_id=record,
                    facet=facet,
                    value=value,
                    **dict(zip(MEASURES, measures, strict=True)),
                )
