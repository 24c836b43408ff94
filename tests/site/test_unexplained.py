"""The page of what nobody can explain: when, which objects, and the sweep that repairs it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.capture import repair
from stockandflow.declarations import Process
from stockandflow.models import StockRecord
from stockandflow.registry import registry
from tests.site.test_views import page, text_of

pytestmark = pytest.mark.django_db

PAGE = "/stockandflow/membership/unexplained/"
MEMBERS = registry.tracker("membership.member")


@pytest.fixture
def unseen() -> Member:
    """A member who converted, of which no event is left."""
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    ada = Member.objects.create(name="Ada", email="a@example.org", plan=plan)
    repair(registry, slugs=[MEMBERS.slug])
    StockRecord.objects.create(stock="trial", timestamp=timezone.now() - timedelta(seconds=1), count=1)
    Member.objects.filter(pk=ada.pk).update(status=Status.ACTIVE)
    MemberFlowEvent.objects.filter(subject=ada, sink="active").delete()
    return ada


def client_of(*permissions: str, **kwargs: Any) -> Client:
    user = User.objects.create_user("someone")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(**kwargs)
    client.force_login(user)
    return client


SEES = ("view_process", "list_objects", "view_member")
ACTS = (*SEES, "act_on_objects", "change_member")


def test_it_names_the_objects_and_the_way_out(unseen: Member) -> None:
    html = page(client_of(*ACTS), PAGE)
    text = text_of(html)
    assert "Trial → Active 1 move Ada Repair: write the missing moves" in text
    assert f'href="/stockandflow/membership/objects/membership.member/{unseen.pk}/"' in html
    assert "membership.member Captured by triggers. It can't see:" in text


def test_two_counts_of_one_minute_are_told_with_their_seconds(unseen: Member) -> None:
    noon = timezone.localtime().replace(hour=12, minute=0, second=5, microsecond=0) - timedelta(days=2)
    for seconds, count in ((0, 3), (30, 2)):
        StockRecord.objects.create(stock="trial", timestamp=noon + timedelta(seconds=seconds), count=count)
    text = text_of(page(client_of(*SEES), PAGE))
    assert re.search(r"12:00:05 \d.*? 12:00:35 3 0 2 −1", text)


def test_who_may_not_list_the_objects_is_told_how_many_there_are(unseen: Member) -> None:
    text = text_of(page(client_of("view_process"), PAGE))
    assert "Trial → Active 1 move" in text
    assert "Ada" not in text
    assert "Repair" not in text
    assert "You can't run one here." in text


def test_the_button_writes_what_is_missing_and_all_is_explained(unseen: Member) -> None:
    client = client_of(*ACTS)
    response = client.post(f"{PAGE}?range=7d")
    assert response["Location"] == f"{PAGE}?range=7d"
    moves = MemberFlowEvent.objects.filter(subject=unseen, origin="sweep")
    assert list(moves.values_list("source", "sink")) == [("trial", "active")]
    text = text_of(page(client, PAGE))
    assert "1 missing move was written." in text
    assert "No move is missing" in text


def test_changes_that_make_up_for_each_other_are_told_as_such(unseen: Member) -> None:
    StockRecord.objects.update(count=0)
    StockRecord.objects.create(stock="trial", timestamp=timezone.now(), count=0)
    client = client_of(*ACTS)
    client.post(PAGE)
    text = text_of(page(client, PAGE))
    assert "All is explained The changes below make up for each other in this range" in text
    assert "In this range every change of a stock has its events" not in text


def test_nobody_else_can_repair(unseen: Member) -> None:
    assert client_of(*SEES).post(PAGE).status_code == 403
    assert not MemberFlowEvent.objects.filter(subject=unseen, origin="sweep").exists()


def test_repairing_takes_the_token_of_a_form(unseen: Member) -> None:
    assert client_of(*ACTS, enforce_csrf_checks=True).post(PAGE).status_code == 403


def test_when_all_is_explained_it_says_so() -> None:
    text = text_of(page(client_of(*SEES), PAGE))
    assert "All is explained In this range every change of a stock has its events" in text


def test_without_the_permission_of_the_process_there_is_no_such_page(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    page(client, PAGE, status=404)
    assert client.post(PAGE).status_code == 404


def test_a_stock_of_a_hidden_process_isnt_named(unseen: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Process("seen", "Seen", [registry.stock("trial")], flows=[])
    secret = Process("secret", "Secret", [registry.stock("active")], flows=[], permission="auth.view_group")
    monkeypatch.setattr(registry, "processes", [seen, secret])
    text = text_of(page(client_of(*SEES), "/stockandflow/seen/unexplained/"))
    assert "Trial → elsewhere 1 move" in text
    assert "Active" not in text


def test_its_form_asks_for_a_range_alone_and_keeps_the_rest(unseen: Member) -> None:
    client = client_of(*SEES)
    asked = "per=week&compare=previous&facet-plan=Basic"
    html = page(client, f"{PAGE}?range=7d&{asked}")
    form = re.search(r'<form class="sf-filters".*?</form>', html, re.DOTALL)
    assert form
    assert "<select" not in form[0]
    assert "Apply" not in text_of(form[0])
    assert "Trial → Active 1 move" in text_of(html)
    assert f'href="/stockandflow/membership/?range=7d&amp;{asked.replace("&", "&amp;")}"' in html
    html = page(client, f"{PAGE}?since=2026-01-01&{asked}")
    form = re.search(r'<form class="sf-filters".*?</form>', html, re.DOTALL)
    assert form
    assert re.findall(r'name="([^"]*)"', form[0]) == ["since", "until", "per", "compare", "facet-plan"]
    assert "Apply" in text_of(form[0])


def test_a_stock_is_unexplained_whatever_facet_the_page_came_from(unseen: Member) -> None:
    html = page(client_of(*SEES), f"{PAGE}?facet-plan=Basic")
    assert "When it arose" in text_of(html)


def test_what_is_known_of_a_deleted_object_is_told(unseen: Member) -> None:
    repair(registry, slugs=[MEMBERS.slug])
    key, day = unseen.pk, date_format(timezone.localtime())
    unseen.delete()
    MemberFlowEvent.objects.filter(subject_id=key, sink="").delete()
    html = page(client_of(*SEES), PAGE)
    assert f"Active → outside 1 move Member #{key} (deleted, in Active since {day}, Plan Basic)" in text_of(
        html
    )
    assert f'href="/stockandflow/membership/objects/membership.member/{key}/"' in html


def test_of_a_deleted_object_no_facet_and_no_name_is_told_to_who_may_not_list(unseen: Member) -> None:
    unseen.delete()
    MemberFlowEvent.objects.filter(subject_id=unseen.pk, sink="").delete()
    text = text_of(page(client_of("view_process"), PAGE))
    assert "1 move" in text
    assert "deleted" not in text
