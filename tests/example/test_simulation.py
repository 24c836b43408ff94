"""The invented business: one seed gives one history, every life is possible, and the whole is believable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from example.demo.build import RULES
from example.demo.simulation import History, Life, Move, simulate
from example.demo.simulation.life import OUTSIDE
from example.leads.models import Status as LeadStatus
from example.membership.models import Status as MemberStatus
from example.support.models import Status as TicketStatus
from stockandflow.registry import registry

LONDON = ZoneInfo("Europe/London")
UNTIL = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)


def simulated(scale: float = 0.05, seed: int = 2011, until: datetime = UNTIL, months: int = 18) -> History:
    return simulate(until=until, zone=LONDON, rules=RULES, scale=scale, seed=seed, months=months)


@pytest.fixture(scope="module")
def history() -> History:
    return simulated(scale=0.4)


def lives(history: History) -> list[Life]:
    return [*history.members, *history.tickets, *history.leads]


def moves(of: Iterable[Life], source: str, sink: str) -> list[Move]:
    return [move for life in of for move in life.moves if (move.source, move.sink) == (source, sink)]


def per_day(found: Iterable[datetime], history: History) -> dict[str, float]:
    """How many there were on an average day of each kind."""
    days, counts = Counter[str](), Counter[str]()
    kinds: dict[str, Callable[[date], bool]] = {
        "weekend": lambda day: day.weekday() >= 5,
        "weekday": lambda day: day.weekday() < 5,
        "first": lambda day: day.day == 1,
        "last": lambda day: (day + timedelta(days=3)).month != day.month,
        "middle": lambda day: 8 <= day.day <= 24,
    }
    by_date = Counter(at.astimezone(LONDON).date() for at in found)
    for day in history.timeline.days:
        for kind, holds in kinds.items():
            if holds(day):
                days[kind] += 1
                counts[kind] += by_date[day]
    return {kind: counts[kind] / days[kind] for kind in kinds}


def test_one_seed_and_one_moment_give_one_history() -> None:
    first, second = simulated(), simulated()
    assert (first.members, first.tickets, first.leads) == (second.members, second.tickets, second.leads)


def test_another_seed_gives_another_history() -> None:
    assert simulated(seed=2012).members != simulated().members


def test_a_life_begins_outside_and_goes_on_from_where_it_was(history: History) -> None:
    for life in lives(history):
        assert life.moves[0].source == OUTSIDE
        for before, after in pairwise(life.moves):
            assert before.sink == after.source != after.sink
            assert before.at < after.at
        assert history.timeline.instant(0) <= life.moves[0].at
        assert life.moves[-1].at < UNTIL


def test_the_states_are_those_of_the_models(history: History) -> None:
    for of, status in (
        (history.members, MemberStatus),
        (history.tickets, TicketStatus),
        (history.leads, LeadStatus),
    ):
        assert {move.sink for life in of for move in life.moves} == {OUTSIDE, *status.values}


def test_every_move_has_its_flow(history: History) -> None:
    for tracker_slug, of in (
        ("membership.member", history.members),
        ("support.ticket", history.tickets),
        ("leads.lead", history.leads),
    ):
        tracker = registry.tracker(tracker_slug)
        slugs = [OUTSIDE, *(stock.slug for stock in tracker.stocks)]
        by_slug = {
            slug.removeprefix("ticket-").removeprefix("lead-").replace("-", "_"): slug for slug in slugs
        }
        for life in of:
            for move in life.moves:
                assert tracker.flow_for(by_slug[move.source], by_slug[move.sink]), move


def test_ids_count_up_in_order_and_the_last_is_still_there(history: History) -> None:
    for of in (history.members, history.tickets, history.leads):
        assert [life.id for life in of] == list(range(1, len(of) + 1))
        assert all(before.began <= after.began for before, after in pairwise(of))
        assert not of[-1].gone


def test_an_event_has_the_facets_as_they_were(history: History) -> None:
    changed = [m for m in history.members if len({move.facets["plan"] for move in m.moves}) > 1]
    assert changed
    for member in history.members:
        assert member.moves[-1].facets == {"plan": member.plan, "country": member.country}
        for before, after in pairwise(member.moves):
            assert before.facets == after.facets or after.sink == MemberStatus.ACTIVE
    for ticket in history.tickets:
        for move in ticket.moves:
            then = [before for before in ticket.member.moves if before.at <= move.at][-1]
            assert move.facets == {"channel": ticket.channel, "plan": then.facets["plan"]}


def test_a_members_tickets_are_erased_with_the_member(history: History) -> None:
    erased = [ticket for ticket in history.tickets if ticket.member.gone]
    assert erased
    for ticket in history.tickets:
        assert ticket.gone == ticket.member.gone
        assert not (ticket.gone and ticket.urgent)
        assert ticket.member.began < ticket.began
    assert {ticket.since for ticket in erased} <= {member.since for member in history.members if member.gone}


def test_who_churned_and_stayed_away_is_erased_by_the_first_nightly_job_that_may(history: History) -> None:
    kept = [
        erased.at - churned.at
        for member in history.members
        for churned, erased in pairwise(member.moves)
        if churned.sink == MemberStatus.CHURNED and erased.sink == OUTSIDE
    ]
    assert kept
    # An hour more or less, where the clocks change between the two.
    assert min(kept) >= RULES.kept_after_churn - timedelta(hours=1)
    assert max(kept) <= RULES.kept_after_churn + timedelta(hours=25)


def test_leads_cool_down_as_the_nightly_jobs_would_have_it(history: History) -> None:
    hour = timedelta(hours=1)
    for lead in history.leads:
        for before, after in pairwise(lead.moves):
            if (before.sink, after.sink) == (LeadStatus.HOT, LeadStatus.WARM):
                assert after.at - before.at >= RULES.lead_hot_for - hour
        age = UNTIL - lead.last_contact_at
        if lead.state == LeadStatus.HOT:
            assert age <= RULES.lead_hot_for + 25 * hour
        if lead.state == LeadStatus.COLD:
            assert RULES.lead_warm_for - hour <= age <= RULES.lead_kept_for + 25 * hour


def test_won_leads_are_members_who_signed_up(history: History) -> None:
    won = [lead for lead in history.leads if lead.member]
    assert won
    for lead in won:
        assert lead.member
        assert lead.name == lead.member.name
        assert lead.began < lead.member.began


def test_people_sign_up_on_weekdays_and_staff_work_on_them(history: History) -> None:
    sign_ups = per_day((member.began for member in history.members), history)
    assert 0.4 < sign_ups["weekend"] / sign_ups["weekday"] < 0.75
    answers = per_day((move.at for move in moves(history.tickets, "new", "open")), history)
    assert answers["weekend"] / answers["weekday"] < 0.15


def test_members_cancel_before_the_month_ends_and_cards_fail_on_the_first(history: History) -> None:
    cancelled = per_day((move.at for move in moves(history.members, "active", "churned")), history)
    assert cancelled["last"] > 1.3 * cancelled["middle"]
    failed = per_day((move.at for move in moves(history.members, "active", "past_due")), history)
    assert failed["first"] > 1.5 * failed["middle"]


def test_the_business_grows(history: History) -> None:
    quarters = Counter((member.began - history.timeline.instant(0)).days // 91 for member in history.members)
    assert quarters[0] < quarters[2] < quarters[4]
    assert quarters[5] > 2.5 * quarters[0]


def test_plans_and_countries_differ(history: History) -> None:
    def share_cancelled(plan: str) -> float:
        exits = [
            move
            for member in history.members
            for move in member.moves
            if move.source == "active" and move.facets["plan"] == plan
        ]
        return sum(move.sink == "churned" for move in exits) / len(exits)

    assert share_cancelled("Team") < share_cancelled("Pro") < share_cancelled("Basic")
    countries = {member.country for member in history.members}
    assert {None, "GB", "US", "ES"} <= countries
    early = history.timeline.instant(30)
    assert not [member for member in history.members if member.country == "DE" and member.began < early]


def test_at_full_scale_it_is_about_as_large_as_promised() -> None:
    found = Counter(member.state for member in simulated(scale=1).members)
    assert 4000 < found["active"] < 5000
    assert 2400 < found["churned"] < 3300
    assert 450 < found["trial"] < 750
    assert 150 < found["paused"] < 320
    assert 120 < found["past_due"] < 260


def test_nothing_happens_while_the_clocks_change() -> None:
    history = simulated(scale=0.3, until=datetime(2026, 4, 2, tzinfo=UTC), months=6)
    hours = {move.at.astimezone(LONDON).hour for life in lives(history) for move in life.moves}
    assert {0, 6, 12, 23} <= hours
    assert not hours & {1, 2}


def test_days_of_the_timeline_begin_at_local_midnight() -> None:
    midnights = simulated(until=datetime(2026, 4, 2, 12, tzinfo=UTC), months=6).timeline.midnights()
    assert {at.astimezone(LONDON).timetz().replace(tzinfo=None).isoformat() for at in midnights} == {
        "00:00:00"
    }
    lengths = Counter(after - before for before, after in pairwise(midnights))
    assert lengths[timedelta(hours=23)] == lengths[timedelta(hours=25)] == 1


def test_a_timeline_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="before its first day"):
        simulated(months=-2)
