"""Whatever is suggested for a model can be pasted as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.checks import CheckMessage
from django.db import connection

from stockandflow.capture import method_for
from stockandflow.checks import check_declarations
from stockandflow.exceptions import InvalidInput
from stockandflow.membership.overlap import surely_overlap
from stockandflow.models import FlowEvent
from stockandflow.registry import registry
from stockandflow.suggesting import suggest
from tests.suggesting.pasting import files_of, pasted

APPS = {"membership", "support", "leads", "testapp", "auth", "admin", "contenttypes", "sessions", "peers"}
LABELS = [
    model._meta.label
    for model in apps.get_models()
    if not issubclass(model, FlowEvent) and model._meta.app_label in APPS
]
HAVE_STATES = {
    "admin.LogEntry",
    "auth.User",
    "leads.Lead",
    "membership.Member",
    "support.Ticket",
    "testapp.Item",
    "testapp.Owner",
}
"""Those of them that must have a suggestion; others may."""


def suggested() -> list[str]:
    """The labels of the models that have a suggestion."""
    found = []
    for label in LABELS:
        try:
            suggest([label], registry, query=False)
        except InvalidInput:
            continue
        found.append(label)
    assert set(found) >= HAVE_STATES
    return found


@pytest.mark.every_database
@pytest.mark.parametrize("label", LABELS)
def test_a_suggestion_runs_and_passes_the_checks_or_says_why_there_is_none(label: str) -> None:
    if label not in suggested():
        with pytest.raises(InvalidInput, match=label):
            suggest([label], registry, query=False)
        return
    with pasted(label, query=False):
        assert registry.trackers
        assert check_declarations() == list[CheckMessage]()
        for tracker in registry.trackers:
            assert len(tracker.stocks) >= 2


def test_suggestions_for_several_models_stand_beside_each_other_and_beside_what_there_is() -> None:
    labels = suggested()
    slugs = {stock.slug for stock in registry.stocks} | {flow.slug for flow in registry.flows}
    with pasted(*labels, app="leads", query=False):
        assert check_declarations() == list[CheckMessage]()
        assert not slugs & {stock.slug for stock in registry.stocks}
        assert not slugs & {flow.slug for flow in registry.flows}
        for tracker in registry.trackers:
            for place, one in enumerate(tracker.stocks):
                assert not any(
                    surely_overlap(one.queryset, other.queryset) for other in tracker.stocks[:place]
                )


RUFF = Path(sys.executable).parent / "ruff"


@pytest.mark.skipif(not RUFF.exists(), reason="ruff isn't installed; it is in requirements/lint.txt")
def test_suggestions_are_formatted_as_ruff_would() -> None:
    labels = suggested()
    files = files_of(suggest(labels, registry, app="leads", query=False))
    for label in labels:
        files |= files_of(suggest([label], registry, query=False))
    assert len(files) > 4
    for given in files.values():
        code = given.partition("\n\n\n# ")[0].strip("\n") + "\n"
        for verb in (["format", "--diff"], ["check", "--select", "E,F,W"]):
            command = [str(RUFF), *verb, "--isolated", "--line-length", "110", "-"]
            done = subprocess.run(command, input=code, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout


@pytest.mark.every_database
def test_what_is_suggested_is_captured_by_triggers() -> None:
    with pasted("testapp.Item", query=False):
        assert {method_for(tracker, connection).kind for tracker in registry.trackers} == {"triggers"}
