"""The pages: who is let in, what they show, and how many queries they make."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from example.membership.models import Member, Plan
from stockandflow.declarations import Process
from stockandflow.models import ScheduleEntry, StockRecord
from stockandflow.periodic import run, schedule
from stockandflow.registry import registry

pytestmark = pytest.mark.django_db

INDEX = "/stockandflow/"
MEMBERSHIP = "/stockandflow/membership/"


@pytest.fixture
def members() -> None:
    """Three joined today and one of them converted; forty days ago there was one, and nobody knows where it went."""
    StockRecord.objects.bulk_create(
        StockRecord(
            stock=stock.slug, timestamp=timezone.now() - timedelta(days=40), count=stock.slug == "paused"
        )
        for stock in registry.process("membership").stocks
    )
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    Member.objects.bulk_create(Member(name=f"m{n}", email="m@example.org", plan=plan) for n in range(3))
    Member.objects.filter(name="m0").convert()


def text_of(html: str) -> str:
    """What a reader reads, in one line."""
    return " ".join(
        unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<(title|svg).*?</\1>", "", html, flags=re.DOTALL))).split()
    )


def page(client: Client, path: str, *, status: int = 200, **parameters: Any) -> str:
    response = client.get(path, parameters)
    assert response.status_code == status
    return response.content.decode()


def rows_of(html: str) -> dict[str, list[str]]:
    """The ledger's cells by stock, but for the sparkline."""
    (ledger,) = re.findall(r'<section class="sf-card sf-ledger".*?</section>', html, re.DOTALL)
    rows = re.findall(r'<tr>\s*<th scope="row">(.*?)</th>(.*?)</tr>', ledger, re.DOTALL)
    return {
        text_of(name): [
            text_of(cell) for cell in re.findall(r"<td(?! class=.sf-trend).*?</td>", cells, re.DOTALL)
        ]
        for name, cells in rows
    }


def test_the_addresses_have_names() -> None:
    assert reverse("stockandflow:index") == INDEX
    assert reverse("stockandflow:process", args=["membership"]) == MEMBERSHIP


@pytest.mark.parametrize("path", [INDEX, MEMBERSHIP, "/stockandflow/nowhere/"])
def test_who_is_not_logged_in_is_sent_to_the_login_and_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={path}"


def test_the_example_begins_at_the_index(client: Client) -> None:
    assert client.get("/")["Location"] == INDEX


@pytest.mark.parametrize("path", [INDEX, MEMBERSHIP])
def test_the_pages_only_read(viewer: Client, path: str) -> None:
    assert viewer.post(path).status_code == 405
    assert viewer.head(path).status_code == 200


def test_without_the_permission_every_process_is_hidden(client: Client) -> None:
    client.force_login(User.objects.create_user("someone"))
    page(client, MEMBERSHIP, status=404)
    html = page(client, INDEX)
    assert "No process that you may see" in html
    assert "Membership" not in html


def test_a_process_that_names_a_permission_is_hidden_from_others(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.process("leads"), "permission", "auth.change_user")
    page(viewer, "/stockandflow/leads/", status=404)
    assert "Leads" not in page(viewer, INDEX)
    assert "Membership" in page(viewer, INDEX)


def test_an_unknown_process_is_not_found(viewer: Client) -> None:
    page(viewer, "/stockandflow/nowhere/", status=404)


def test_the_index_names_the_processes_in_registered_order_with_their_stocks(viewer: Client) -> None:
    html = page(viewer, INDEX)
    assert re.findall(r'<h2><a href="(.*?)">(.*?)</a></h2>', html) == [
        (f"{INDEX}{process.slug}/", process.name) for process in registry.processes
    ]
    assert (
        "Membership Not recorded for a week How people move from sign-up to active membership, and where they leave. "
        "Trial 0 ■ unchanged 0 Active 0 ■ unchanged 0"
    ) in text_of(html)
    assert "5 stocks, 12 flows" in text_of(html)


def test_a_card_tells_the_change_of_thirty_days_and_what_is_unexplained(
    viewer: Client, members: None
) -> None:
    html = page(viewer, INDEX)
    text = text_of(html)
    assert "Membership 1 unexplained Not recorded for a week" in text
    assert "Trial 2 ▲ up +2 Active 1 ▲ up, better +1 Paused 0 ▼ down −1" in text
    assert "5 stocks, 12 flows +2 in 30 days" in text
    assert 'href="/stockandflow/membership/unexplained/"' in html
    StockRecord.objects.create(stock="trial", timestamp=timezone.now() - timedelta(minutes=4), count=2)
    assert "recorded 4\xa0minutes ago" in page(viewer, INDEX)


def test_an_empty_registry_is_told_how_to_fill_it(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "processes", [])
    html = page(viewer, INDEX)
    assert "No process is registered" in html
    assert "stocksandflows.py" in html


def test_every_row_of_the_ledger_adds_up(viewer: Client, members: None) -> None:
    html = page(viewer, MEMBERSHIP)
    assert rows_of(html) == {
        "Trial": ["0", "+3", "−1", "+2", "0", "2", "▲ up from 0"],
        "Active": ["0", "+1", "0", "+1", "0", "1", "▲ up, better from 0"],
        "Paused": ["1", "0", "0", "0", "−1", "0", "▼ down 100.0 %"],
        "Past due": ["0", "0", "0", "0", "0", "0", "■ unchanged 0.0 %"],
        "Churned": ["0", "0", "0", "0", "0", "0", "■ unchanged 0.0 %"],
    }
    assert "Opening + in − out + unexplained = now" in text_of(html)


def test_each_stock_has_its_flows_with_where_they_come_from_and_go_to(viewer: Client, members: None) -> None:
    text = text_of(page(viewer, MEMBERSHIP))
    assert "In +3 Signing up from outside 3 Out −1 Converting to Active 1" in text
    assert "In +1 Converting from Trial 1" in text
    assert "Nothing came and nothing went in this range." in text


def test_what_is_unexplained_is_pointed_out_where_it_is_and_explained_once(
    viewer: Client, members: None
) -> None:
    html = page(viewer, MEMBERSHIP)
    assert html.count('href="#sf-unexplained-paused"') == 2
    assert html.count('id="sf-unexplained-paused"') == 1
    text = text_of(html)
    assert "Paused: −1 unexplained. Its flows lead from 1 to 1, but it has 0." in text
    assert "See when it arose, which objects it is, and repair it" in text
    assert text.count("Unexplained means: something changed objects without being seen") == 1
    assert "Opening levels are derived" in text


def test_levels_that_one_count_tells_are_named(viewer: Client) -> None:
    assert "One count tells both levels of Trial, Active" in text_of(page(viewer, MEMBERSHIP))


def test_a_stock_in_no_tracker_claims_nothing(viewer: Client) -> None:
    html = page(viewer, "/stockandflow/support/")
    assert rows_of(html)["Urgent"][1:5] == ["–", "–", "–", "–"]
    assert "Urgent: in no tracker, so nothing promises to account for every change." in text_of(html)
    assert "No tracker watches this stock." in text_of(html)


def test_the_range_in_progress_says_so_and_when_it_was_counted(viewer: Client) -> None:
    text = text_of(page(viewer, MEMBERSHIP))
    assert re.search(
        r"– \d+ \w+ \d{4} Europe/London Counted \d+ \w+ \d{4}, .* Today is partial Never recorded yet", text
    )


def test_a_range_in_the_past_shows_its_last_day_and_its_closing(viewer: Client, members: None) -> None:
    html = page(viewer, MEMBERSHIP, since="2026-03-01", until="2026-04-01")
    text = text_of(html)
    assert re.search("1 Mar 2026 – 31 Mar 2026 Europe/London Provisional Last recorded 1.month, .* ago", text)
    assert "Opening 1 March In Out Net Unexplained Closing 31 March Change" in text
    assert "unexplained = closing" in text
    assert 'name="since" type="date" value="2026-03-01"' in html
    assert 'name="until" type="date" value="2026-04-01"' in html


def test_a_range_that_cuts_a_day_shows_its_moments(viewer: Client) -> None:
    text = text_of(page(viewer, MEMBERSHIP, since="2026-03-01T10:30+00:00", until="2026-03-01T12:00Z"))
    assert "Europe/London Provisional" in text
    assert "1 Mar 2026, 10:30 a.m. – 1 Mar 2026, noon" in text


def test_the_presets_are_links_and_the_one_in_force_is_marked(viewer: Client) -> None:
    html = page(viewer, MEMBERSHIP, range="90d")
    links = re.findall(r'<a href="\?range=(\w+)"( aria-current="true")?>', html)
    assert [key for key, _ in links] == ["7d", "30d", "90d", "12mo"]
    assert [key for key, current in links if current] == ["90d"]


@pytest.mark.parametrize(
    ("parameters", "field", "message"),
    [
        ({"since": "2026-13-45"}, "since", "since is '2026-13-45', which is no date"),
        ({"until": "tomorrow"}, "until", "until is 'tomorrow', which is no date"),
        ({"since": "2026-06-01T10:00"}, "since", "names no instant without its offset"),
        ({"since": "2026-06-02", "until": "2026-06-01"}, "until", "doesn't come after since"),
        ({"since": "2199-01-01"}, "since", "hasn't come yet"),
        ({"range": "9y"}, "range", "choose one of 7d, 30d, 90d, 12mo"),
        ({"since": '"><script>alert(1)</script>'}, "since", "which is no date"),
        ({"since": "\x00"}, "since", "which is no date"),
    ],
)
def test_a_wrong_parameter_is_told_at_its_field_above_the_default_report(
    viewer: Client, members: None, parameters: dict[str, Any], field: str, message: str
) -> None:
    html = page(viewer, MEMBERSHIP, **parameters)
    error = re.search(rf'<p class="sf-error" id="sf-{field}-error">(.*?)</p>', html, re.DOTALL)
    assert error is not None
    assert message in unescape(error[1])
    assert f'aria-describedby="sf-{field}-error"' in html
    assert rows_of(html)["Trial"][:2] == ["0", "+3"]
    assert "<script>" not in html


def test_a_database_whose_clock_is_behind_is_no_server_error(
    viewer: Client, members: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timezone.now() + timedelta(days=2)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    since = (ahead - timedelta(hours=1)).isoformat()
    html = page(viewer, MEMBERSHIP, since=since)
    assert "is in the future" in text_of(html)
    assert rows_of(html)["Trial"][1] == "+3"


def test_names_are_escaped(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    process = registry.process("membership")
    monkeypatch.setattr(process, "name", "<b>Members</b>")
    monkeypatch.setattr(process, "description", "<script>alert(1)</script>")
    for path in (INDEX, MEMBERSHIP):
        html = page(viewer, path)
        assert "<script>" not in html
        assert "&lt;b&gt;Members&lt;/b&gt;" in html


def test_the_pages_keep_a_strict_content_security_policy(viewer: Client, members: None) -> None:
    for path in (INDEX, MEMBERSHIP):
        html = page(viewer, path)
        assert "<script>" not in html
        assert "<style" not in html
        assert not re.search(r"\s(style|on\w+)\s*=", html)
        assert {url.split("/")[1] for url in re.findall(r'(?:href|src)="(/[^"]*)"', html)} <= {
            "static",
            "stockandflow",
        }
        assert not re.search(r'(href|src|action)="(?!/|\?|#)', html)


def test_ids_are_unique_and_every_reference_has_one(viewer: Client, members: None) -> None:
    html = page(viewer, "/stockandflow/support/", since="x", range="y")
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:aria-labelledby|aria-describedby|for)="([^"]*)"', html) + re.findall(
        r'href="#([^"]*)"', html
    )
    assert set(referred) <= set(ids)


def test_when_nobody_calls_the_schedule_the_page_says_so(viewer: Client) -> None:
    assert "The schedule was never run, so nothing is recorded." in text_of(page(viewer, MEMBERSHIP))
    run(schedule)
    assert "sf-silence" not in page(viewer, MEMBERSHIP)
    ScheduleEntry.objects.update(seen_at=timezone.now() - timedelta(days=3))
    assert "and nobody has called it since, so nothing is recorded." in text_of(page(viewer, MEMBERSHIP))


def queries(client: Client, path: str, **parameters: Any) -> int:
    """How many queries a page makes, but for the clock, which is read on SQLite until it has moved on."""
    with CaptureQueriesContext(connection) as captured:
        page(client, path, **parameters)
    return sum("'now'" not in query["sql"] for query in captured)


def test_the_queries_of_the_index_do_not_grow_with_the_number_of_processes(
    viewer: Client, members: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queries(viewer, INDEX)
    stocks = registry.process("membership").stocks
    more = [Process(f"p{n}", f"P{n}", stocks[n % 5 :], flows=[]) for n in range(40)]
    monkeypatch.setattr(registry, "processes", [*registry.processes, *more])
    assert page(viewer, INDEX).count('<li class="sf-card">') == 43
    assert queries(viewer, INDEX) == first
    assert first <= 24  # three models of subjects and of events


def test_beyond_twelve_processes_are_searched(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'type="search"' not in page(viewer, INDEX)
    stocks = registry.process("membership").stocks
    more = [Process(f"p{n}", f"Plan {n}", stocks, flows=[]) for n in range(10)]
    monkeypatch.setattr(registry, "processes", [*registry.processes, *more])
    assert 'type="search"' in page(viewer, INDEX)
    html = page(viewer, INDEX, q="plan 7")
    assert re.findall(r'<h2><a href="[^"]*">(.*?)</a></h2>', html) == ["Plan 7"]
    assert 'value="plan 7"' in html
    assert "Nothing was found for “nowhere”" in text_of(page(viewer, INDEX, q="nowhere"))


def test_the_queries_of_a_process_do_not_grow_with_its_history(viewer: Client, members: None) -> None:
    first = queries(viewer, MEMBERSHIP)
    plan = Plan.objects.get()
    Member.objects.bulk_create(Member(name=f"n{n}", email="m@example.org", plan=plan) for n in range(200))
    Member.objects.filter(name__startswith="n1").convert()
    StockRecord.objects.bulk_create(
        StockRecord(stock=stock.slug, timestamp=timezone.now() - timedelta(hours=n), count=1)
        for n in range(100)
        for stock in registry.process("membership").stocks
    )
    assert queries(viewer, MEMBERSHIP) == first
    assert queries(viewer, MEMBERSHIP, range="12mo") == first
    assert first <= 15


def test_numbers_are_written_by_locale(viewer: Client, settings: Any) -> None:
    StockRecord.objects.create(stock="trial", timestamp=timezone.now() - timedelta(days=40), count=1234)
    settings.LANGUAGE_CODE = "de"
    html = page(viewer, MEMBERSHIP)
    assert rows_of(html)["Trial"][0] == "1.234"
    assert rows_of(html)["Trial"][-1] == "▼ gesunken 100,0 %"


def test_the_geometry_of_charts_is_never_by_locale(viewer: Client, members: None, settings: Any) -> None:
    settings.LANGUAGE_CODE = "de"
    html = page(viewer, MEMBERSHIP, compare="previous", split="plan")
    names = "x|y|x1|x2|y1|y2|cx|cy|r|d|width|height|viewBox"
    values = [
        value
        for drawn in re.findall(r"<svg.*?</svg>", html, re.DOTALL)
        for value in re.findall(rf'\s(?:{names})="([^"]*)"', drawn)
    ]
    assert len(values) > 500
    assert not [value for value in values if not re.fullmatch(r"[-AHLMQVZahlqvz0-9. %]+", value)]


def test_a_template_can_be_replaced_piece_by_piece(viewer: Client, settings: Any, tmp_path: Any) -> None:
    folder = tmp_path / "stockandflow"
    folder.mkdir()
    (folder / "_status.html").write_text("<p>our own words for {{ process.name }}</p>")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    html = page(viewer, MEMBERSHIP)
    assert "our own words for Membership" in html
    assert "Ledger" in html


def test_a_process_may_name_a_stock_only(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Process("lone", "Lone", [registry.stock("trial")], flows=[])
    monkeypatch.setattr(registry, "processes", [lone])
    assert list(rows_of(page(viewer, "/stockandflow/lone/"))) == ["Trial"]
