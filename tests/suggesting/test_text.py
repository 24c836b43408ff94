"""A suggestion names its files, and says what it left out; what can't have stocks is refused with what can."""

from __future__ import annotations

import re
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test.utils import isolate_apps

from stockandflow.exceptions import InvalidInput
from stockandflow.registry import Registry, registry
from stockandflow.suggesting import suggest
from stockandflow.suggesting.code import File, Taken
from stockandflow.suggesting.looking import look
from stockandflow.suggesting.names import Names, call, literal, slug_of
from stockandflow.suggesting.places import app_named, home_of
from tests.suggesting.pasting import files_of


def suggested(*labels: str, **options: Any) -> str:
    out = StringIO()
    call_command("stockandflow", "suggest", *labels, stdout=out, no_query=True, **options)
    return out.getvalue()


def test_a_librarys_model_goes_into_an_app_of_the_project_and_another_can_be_chosen() -> None:
    text = suggested("auth.User")
    assert list(files_of(text)) == ["example/membership/models.py", "example/membership/stocksandflows.py"]
    assert (
        "# django.contrib.auth isn't an app of the project's own, so this goes into its first one; --app"
        in text
    )
    text = suggested("auth.User", app="leads")
    assert list(files_of(text)) == ["example/leads/models.py", "example/leads/stocksandflows.py"]
    assert "isn't an app of the project's own" not in text


def test_the_event_model_that_there_is_is_used_again() -> None:
    text = suggested("leads.Lead")
    assert list(files_of(text)) == ["example/leads/stocksandflows.py"]
    assert "from example.leads.models import Lead, LeadFlowEvent\n" in text
    assert "# leads.Lead is tracked already, by 'leads.lead'; what is suggested comes beside that." in text
    assert "makemigrations" not in text


def test_a_project_without_an_app_gets_a_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stockandflow.suggesting.places.projects_apps", list)
    text = suggested("auth.User")
    assert list(files_of(text)) == ["yourapp/models.py", "yourapp/stocksandflows.py"]
    assert "and there is none: make one, and read its name here" in " ".join(text.replace("\n#", "").split())


def test_paths_are_those_of_the_files_where_they_are_below_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "example/leads/models.py" in files_of(suggested("auth.User", app="leads"))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            "leads.Laed",
            "There is no model 'leads.Laed'. Did you mean 'leads.Lead'? The app 'leads' has leads.Lead",
        ),
        ("lead", "'lead' names no model; write app_label.ModelName. Did you mean 'leads.Lead'?"),
        ("shop.Order", "No app 'shop' has models; those that do are "),
        ("testapp.SpecialItem", "is a proxy of testapp.Item, with the same rows; suggest for that."),
        ("testapp.Seat", "testapp.Seat has a composite primary key"),
        (
            "testapp.ItemFlowEvent",
            "holds flow events, which don't move themselves; suggest for testapp.Item.",
        ),
        ("testapp.SubjectlessEvent", "suggest for the model whose objects move."),
        (
            "stockandflow.FlowEvent",
            "stockandflow.FlowEvent is abstract and has no rows; suggest for a model that inherits from it: member",
        ),
        (
            "testapp.Part",
            "none has 2 to 12 choices, is a BooleanField, or a date or a time that may be NULL. Looked at: id, item, ",
        ),
        (
            "testapp.BigItem",
            "Looked at: item_ptr, weight. It inherits fields from testapp.Item; suggest for that.",
        ),
    ],
)
def test_a_model_that_cant_have_stocks_is_refused(label: str, message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        suggested(label)


def test_an_unmanaged_and_a_swapped_model_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from example.leads.models import Lead

    monkeypatch.setattr(Lead._meta, "managed", False)
    with pytest.raises(InvalidInput, match=r"'leads_lead' may be a view, which can't have triggers"):
        suggest(["leads.Lead"], registry)
    monkeypatch.undo()
    monkeypatch.delitem(Lead._meta.__dict__, "swapped", raising=False)  # a cache from Django 6.1 on
    monkeypatch.setattr(type(Lead._meta), "swapped", "shop.Lead")
    with pytest.raises(InvalidInput, match=r"leads\.Lead is swapped for shop\.Lead; suggest for that"):
        suggest(["leads.Lead"], registry)


def test_an_app_that_isnt_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        CommandError, match=r"There is no app 'leds'. Did you mean 'leads'\? The project's own are 'mem"
    ):
        suggested("auth.User", app="leds")
    assert app_named("example.leads").label == "leads"


def test_names_that_are_taken_are_never_given_again() -> None:
    other = Registry()
    plain = suggest(["leads.Lead"], other, query=False)
    assert 'Stock("lead-hot"' in plain
    assert "slug=" not in plain
    beside = suggest(["leads.Lead"], registry, query=False)
    assert 'Stock("leads-lead-hot"' in beside
    assert 'slug="leads.lead.status"' in beside
    assert 'Facet("leads-lead-source"' in beside or '"leads-lead-source"' in beside


def text_of(*given: type[models.Model]) -> str:
    """What stocksandflows.py would hold for models that no app has."""
    config, why = home_of(given[0], "leads")
    file = File(config, why, Taken.of(Registry()))
    for model in given:
        file.add(look(model, query=False))
    return file.models_text() + "#\n" + file.declarations_text()


@isolate_apps("tests.testapp", "example.leads")
def test_models_named_like_ours_or_alike_are_imported_under_other_names() -> None:
    def made(name: str, app_label: str) -> Any:
        meta = type("Meta", (), {"app_label": app_label, "verbose_name_plural": 'The "good" ones'})
        fields = {"active": models.BooleanField(), "__module__": f"far.{app_label}", "Meta": meta}
        return type(name, (models.Model,), fields)

    text = text_of(made("Stock", "testapp"), made("Thing", "testapp"), made("Thing", "leads"))
    assert "from far.testapp import Stock as TestappStock, Thing\n" in text
    assert "from far.leads import Thing as LeadsThing\n" in text
    assert "TestappStock.objects.filter(active=True)" in text
    assert "LeadsThing.objects.filter(active=True)" in text
    assert "class ThingFlowEvent(" in text
    assert "class ThingFlowEvent2(" in text
    assert "'The \"good\" ones'" in text
    names = [line.partition(" = ")[0] for line in text.splitlines() if re.match(r"\w+ = ", line)]
    assert len(names) == len(set(names)) == 9
    compile(text, "text", "exec")


@isolate_apps("tests.testapp")
def test_a_manager_of_another_name_is_used_and_odd_choices_are_written_rightly() -> None:
    class Odd(models.Model):  # noqa: DJ008
        everything = models.Manager()
        status = models.CharField(
            max_length=20,
            choices=[
                ("it's", 'It\'s "quoted"'),
                ("a b", "A\\B\n"),
                ("A-B", "A"),
                ("π", "π"),
                ("ж", "Ж"),
                ("class", "class"),
            ],
        )

        class Meta:
            app_label = "testapp"

    text = text_of(Odd)
    assert 'Odd.everything.filter(status="it\'s")' in text
    slugs = re.findall(r'Stock\(\s*"([^"]+)"', text)
    assert slugs == ["odd-it-s", "odd-a-b", "odd-a-b-2", "odd-value", "odd-value-2", "odd-class"]
    compile(text, "text", "exec")


class Present(models.Manager[Any]):
    """Hides what was deleted softly."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted=False)


@isolate_apps("tests.testapp")
def test_a_manager_that_hides_rows_gives_way_to_one_that_doesnt() -> None:
    class Hiding(models.Model):  # noqa: DJ008
        deleted = models.BooleanField()
        objects = Present()

        class Meta:
            app_label = "testapp"

    class Showing(models.Model):  # noqa: DJ008
        deleted = models.BooleanField()
        objects = Present()
        everything = models.Manager()  # noqa: DJ012

        class Meta:
            app_label = "testapp"

    assert "Hiding._base_manager.filter(deleted=True)" in text_of(Hiding)
    assert "Showing.everything.filter(deleted=True)" in text_of(Showing)


def test_an_output_that_cant_hold_a_character_gets_it_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    from example.leads.models import Lead

    monkeypatch.setattr(Lead._meta, "verbose_name_plural", "Интересенты")
    raw = BytesIO()
    out = TextIOWrapper(raw, "ascii", write_through=True)
    call_command("stockandflow", "suggest", "leads.Lead", no_query=True, stdout=out)
    text = raw.getvalue().decode("ascii")
    assert '"\\u0418\\u043d' in text
    compile(text, "text", "exec")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", '"plain"'), ("it's", '"it\'s"'), ('a "b"', "'a \"b\"'"), ("'\"", '"\'\\""'),
        ('\'""', "'\\'\"\"'"), ("a\nb", '"a\\nb"'), ("\\", '"\\\\"'), (3, "3"), (True, "True"), (None, "None"),
    ],
)  # fmt: skip
def test_a_literal_reads_as_the_value_and_is_quoted_as_ruff_does(value: Any, shown: str) -> None:
    assert literal(value) == shown
    assert eval(shown) == value  # noqa: S307


def test_a_name_is_given_once_whatever_its_case() -> None:
    names = Names(["Taken"])
    assert [names.give("taken"), names.give("free"), names.give("free", "other")] == [
        "taken-2",
        "free",
        "other",
    ]
    assert [Names().identifier(word) for word in ("a-b", "class", "1st", "match")] == [
        "a_b",
        "class_",
        "a_1st",
        "match_",
    ]
    assert (slug_of("Past due!"), slug_of("Übér"), slug_of("ж"), len(slug_of("x" * 99))) == (
        "past-due",
        "uber",
        "",
        80,
    )


def test_a_call_is_broken_where_it_is_too_long() -> None:
    assert call("f(", ["a", "b"]) == "f(a, b)"
    assert call("function(", ["a" * 60, "b" * 40]) == f"function(\n    {'a' * 60}, {'b' * 40}\n)"
    assert call("f(", [call("g(", ["a" * 60, "b" * 60], indent=4)]) == (
        f"f(\n    g(\n        {'a' * 60},\n        {'b' * 60},\n    )\n)"
    )
    assert call("f[", ["a" * 60, "b" * 50]) == f"f[\n    {'a' * 60},\n    {'b' * 50},\n]"
