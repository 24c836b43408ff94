"""The German catalogue: every string of the pages and the admin is in it, translated, and compiled."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import override
from django.utils.translation.template import templatize

from example.membership.models import Member, MemberFlowEvent, Plan, Status
from stockandflow.capture import repair
from stockandflow.models import StockRecord
from stockandflow.periodic import run, schedule
from stockandflow.registry import registry

ROOT = Path(__file__).resolve().parents[1] / "src" / "stockandflow"
CATALOGUE = ROOT / "locale" / "de" / "LC_MESSAGES"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CALLS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext"}
IN = "\x04"
"""Between a context and its string, as in a compiled catalogue."""
Entry = tuple[str, tuple[str, ...], bool]
"""The plural or "", the translations, and whether they are fuzzy."""


def catalogue() -> dict[str, Entry]:
    """What ``django.po`` holds: string → its entry."""
    found: dict[str, Entry] = {}
    for block in (CATALOGUE / "django.po").read_text(encoding="utf-8").split("\n\n"):
        values: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#") or not line:
                continue
            if not line.startswith('"'):
                key = line.partition(" ")[0]
            values[key] = values.get(key, "") + ast.literal_eval(line.removeprefix(key).strip())
        told = tuple(values[name] for name in values if name.startswith("msgstr"))
        fuzzy = bool(re.search(r"^#,.*fuzzy", block, re.MULTILINE))
        string = f"{values['msgctxt']}{IN}{values['msgid']}" if "msgctxt" in values else values["msgid"]
        found[string] = (values.get("msgid_plural", ""), told, fuzzy)
    return found


def called(source: str) -> Iterator[str]:
    """The strings that a module's code has translated."""
    if "django.utils.translation" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        name = getattr(getattr(node, "func", None), "id", None) or getattr(
            getattr(node, "func", None), "attr", None
        )
        if isinstance(node, ast.Call) and name in CALLS:
            strings = node.args[: 2 if name == "ngettext" else 1]
            yield from (
                one.value for one in strings if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )


def in_template(source: str) -> Iterator[str]:
    """The strings that a template has translated."""
    literal = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    pattern = rf"(p?)gettext\({literal}(?:,\s*{literal})?|\b_\({literal}"
    for in_context, *strings in re.findall(pattern, templatize(source)):
        found = [ast.literal_eval(part) for part in strings if part]
        yield from [IN.join(found)] if in_context else found


def used() -> set[str]:
    strings: set[str] = set()
    for path in ROOT.rglob("*.py"):
        strings.update(called(path.read_text(encoding="utf-8")))
    for path in TEMPLATES:
        strings.update(in_template(path.read_text(encoding="utf-8")))
    return strings


def test_every_string_of_the_pages_and_the_admin_is_in_the_catalogue_and_no_other() -> None:
    known = catalogue()
    known.pop("")
    plurals = {entry[0] for entry in known.values()} - {""}
    assert used() - known.keys() - plurals == set(), "run scripts/messages"
    assert known.keys() - used() == set(), "run scripts/messages"


def test_every_string_is_translated_and_none_is_a_guess() -> None:
    for string, (plural, told, fuzzy) in catalogue().items():
        assert not fuzzy, string
        assert all(told), string
        assert len(told) == (2 if plural else 1), string


def test_the_places_in_a_string_are_those_of_its_translation() -> None:
    def places(text: str) -> set[str]:
        braces = {name for _, name, _, _ in Formatter().parse(text) if name} if "{" in text else set()
        return set(re.findall(r"%\((\w+)\)[sdr]", text)) | braces | set(re.findall(r"%[sd]", text))

    for string, (plural, told, _) in catalogue().items():
        for one in told:
            assert places(one) <= places(string) | places(plural), one
        assert places(plural or string) == places(told[-1]), string


def test_the_compiled_catalogue_is_that_of_the_text() -> None:
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    kept = {
        key: text for key, text in vars(compiled)["_catalog"].items() if key not in ("", ("", 0), ("", 1))
    }
    wanted: dict[str | tuple[str, int], str] = {}
    for string, (plural, told, _) in catalogue().items():
        if string:
            wanted.update({(string, n): one for n, one in enumerate(told)} if plural else {string: told[0]})
    assert kept == wanted, "run scripts/messages"


TAGS = (
    r"\{#.*?#\}|\{% comment.*?endcomment %\}|\{% blocktranslate.*?endblocktranslate %\}|\{%.*?%\}|\{\{.*?\}\}"
)
OF_THE_COMPUTER = re.compile(r"<code>.*?</code>", re.DOTALL)
READ = r"""\s(?:aria-label|title|alt|placeholder)=(?:"([^"]*)"|'([^']*)')"""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_no_template_has_words_that_cannot_be_translated(path: Path) -> None:
    source = re.sub(TAGS, " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    read = ["".join(found) for found in re.findall(READ, source)]
    text = re.sub(r"<[^>]*>|&\w+;", " ", OF_THE_COMPUTER.sub(" ", source))
    outside_of_blocks = (
        text if "<" in source else ""
    )  # a template of nothing but blocks has their arguments left
    words = re.findall(r"[^\W\d_]{2,}", " ".join([outside_of_blocks, *read]))
    assert set(words) <= NO_WORDS


NO_WORDS = {"sf", "in", "admin", "Authorization", "Bearer", "SQL"}
"""A class beside Django's own, and what programs say to each other."""


@pytest.mark.django_db
@pytest.mark.urls("example.urls")
def test_all_pages_are_read_in_german(client: Client, settings: object) -> None:
    run(schedule)
    stock = registry.stock("active")
    StockRecord.objects.update_or_create(stock=stock.slug, timestamp=timezone.now(), defaults={"count": 1234})
    client.force_login(User.objects.create_superuser("root"))
    words = {
        "": "Prozesse",
        "status/": "Zeitplan und Status",
        "membership/": "Bestandsrechnung",
        "membership/stocks/active/": "Zufluss",
        "membership/flows/pausing/": "In diesem Zeitraum",
        "membership/stocks/active/work/": "Nichts zu bearbeiten",
    }
    settings.LANGUAGE_CODE = "de"  # type: ignore[attr-defined]
    with override("de"):
        for path, word in words.items():
            response = client.get(f"/stockandflow/{path}")
            assert response.status_code in (200, 404), path
            html = response.content.decode()
            assert 'lang="de"' in html, path
            assert word in html, path
        index = client.get("/stockandflow-admin/").content.decode()
    assert "Bestände und Flüsse" in index
    assert "Membership: Bestände" in index
    assert "Jetzt, und in den letzten 30 Tagen" in index


@pytest.mark.django_db
@pytest.mark.urls("example.urls")
def test_what_is_behind_a_number_is_read_in_german_too(client: Client, settings: object) -> None:
    plan = Plan.objects.create(name="Basic", monthly_price=9)
    ada = Member.objects.create(name="Ada", email="a@example.org", plan=plan)
    repair(registry, slugs=["membership.member"])
    StockRecord.objects.create(stock="trial", timestamp=timezone.now() - timedelta(seconds=1), count=1)
    Member.objects.filter(pk=ada.pk).update(status=Status.ACTIVE)
    MemberFlowEvent.objects.filter(subject=ada, sink="active").delete()
    client.force_login(User.objects.create_superuser("root"))
    words = {
        "objects/?kind=level&stock=active": "1 Objekt",
        "objects/?kind=flow&flow=signing-up": "außerhalb",
        f"objects/membership.member/{ada.pk}/": "Blieb",
        "unexplained/": "Erfasst durch Trigger. Nicht gesehen wird: ",
        "?embed=1": "Bestandsrechnung",
        "?range=7d": "von 0",
        "unexplained/?range=7d": '<th scope="col">Bis</th>',
        "stocks/trial/": "von außerhalb",
        "flows/signing-up/": "außerhalb",
        "?facet-country=(none)": "(ohne)",
    }
    settings.LANGUAGE_CODE = "de"  # type: ignore[attr-defined]
    settings.STOCKANDFLOW = {"EMBED_ORIGINS": ["https://wiki.example.org"]}  # type: ignore[attr-defined]
    with override("de"):
        for path, word in words.items():
            html = client.get(f"/stockandflow/membership/{path}").content.decode()
            assert 'lang="de"' in html, path
            assert word in html, path
            assert not re.findall(
                r"\boutside\b|\bfrom 0\b|\(none\)<|Brotkr", re.sub(r"<[^>]*>", " ", html)
            ), path


@pytest.mark.django_db
def test_the_ordinary_admin_names_models_and_columns_in_german(client: Client, settings: Any) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    StockRecord.objects.create(stock="trial", timestamp=timezone.now(), count=3)
    settings.LANGUAGE_CODE = "de"
    index = client.get("/admin/stockandflow/").content.decode()
    for name in ("Bestandsaufzeichnungen", "Flussaufzeichnungen", "Einträge des Zeitplans", "Zustellungen"):
        assert name in index
    listed = client.get("/admin/stockandflow/stockrecord/").content.decode()
    for name in ("Zeitpunkt", "Bestand", "Anzahl", "Herkunft"):
        assert name in listed
    assert "timestamp</a>" not in listed.lower()
    token = client.get("/admin/stockandflow/apitoken/add/").content.decode()
    for told in (
        "Wer oder was es benutzt.",
        "Wofür es gilt, ein Pfad je Zeile",
        "Von da an wird es abgelehnt.",
    ):
        assert told in token


def test_every_model_that_the_admin_shows_and_each_of_its_columns_can_be_translated() -> None:
    for model in apps.get_app_config("stockandflow").get_models():
        if model._meta.default_permissions == ():
            continue
        columns = [one for one in model._meta.fields if one.editable and one.name not in ("id", "value")]
        names = [model._meta.verbose_name, model._meta.verbose_name_plural]
        names += [one.verbose_name for one in columns]
        names += [one.help_text for one in columns if one.help_text]
        assert [name for name in names if not isinstance(name, Promise)] == [], model
