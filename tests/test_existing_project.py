"""A project that lives on other people's apps has its stocks and flows, and its past, by pasting what is suggested."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.code_blocks import Reader
from tests.suggesting.pasting import files_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="the reader's project brings its own SQLite file: one run shows it all",
    ),
]

INSTALLED = """
INSTALLED_APPS += ["allauth", "allauth.account", "invitations", "django_tasks_db"]
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
TIME_ZONE = "UTC"
"""

LIFE = """
import datetime as dt

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from invitations.models import Invitation

now = timezone.now()
for number in range(6):
    user = User.objects.create(username=f"u{number}")
    EmailAddress.objects.create(user=user, email=f"{number}@example.org", verified=number < 4, primary=True)
    DBTaskResult.objects.create(
        status=["READY", "FAILED", "SUCCESSFUL"][number % 3],
        args_kwargs={}, task_path="shop.tasks.work", backend_name="default", run_after=now,
    )
    Invitation.objects.create(
        email=f"guest{number}@example.org", key=str(number), inviter=user, accepted=number < 2,
        created=now - dt.timedelta(days=20 - number), sent=now - dt.timedelta(days=10) if number < 3 else None,
    )
"""

MODELS = "account.EmailAddress", "invitations.Invitation", "django_tasks_database.DBTaskResult"


def test_what_is_suggested_for_apps_of_others_runs_with_their_past(tmp_path: Path) -> None:
    reader = Reader(tmp_path, "a suggestion")
    settings = reader.project / "config" / "settings.py"

    def manage(*command: str) -> str:
        return reader.execute(["python", "manage.py", *command], reader.project, 0)

    def run(code: str) -> str:
        return reader.execute(["python", "-c", f"import django\ndjango.setup()\n{code}"], reader.project, 0)

    settings.write_text(settings.read_text() + INSTALLED)
    manage("migrate")
    run(LIFE)

    settings.write_text(settings.read_text() + '\nINSTALLED_APPS += ["stockandflow"]\n')
    text = manage("stockandflow", "suggest", *MODELS)
    files = files_of(text)
    assert sorted(files) == ["shop/models.py", "shop/stocksandflows.py"]
    for path, code in files.items():
        file = reader.project / path
        file.write_text((file.read_text() if file.exists() else "") + code)
    manage("makemigrations", "shop")
    manage("migrate")
    assert "no issues" in manage("check", "--fail-level", "WARNING", "--database", "default")

    assert json.loads(run(ORIGINS)) == {"initial": 30}
    manage("stockandflow", "sweep", "--dry-run")  # exits with 1 where anything is amiss
    report = manage("stockandflow", "report", "email-address")
    assert re.search(r"^\d+ \w+ – \d+ \w+ \d+ · UTC · in progress · counted ", report, re.MULTILINE), report
    assert re.search(r"^Verified +4 +0 +0 +0 +0 +4 ", report, re.MULTILINE), report
    assert "Opening balance: " in report

    run(past_of(text))
    # Six invitations came and three were sent at instants that columns tell; all else is the opening balance.
    assert json.loads(run(ORIGINS)) == {"initial": 24, "import": 9}
    report = manage("stockandflow", "report", "invitation-sent", "--format", "json")
    assert json.loads(report)["origins"] == {"live": 0, "initial": 0, "sweep": 0, "import": 9}
    rows = {row["slug"]: row for row in json.loads(report)["stocks"]}
    sent = rows["invitation-sent-yes"]
    assert (sent["opening"], sent["inflow"], sent["unexplained"], sent["closing"]) == (0, 3, 0, 3)
    assert rows["invitation-sent-no"]["inflow"] == 6
    manage("stockandflow", "sweep", "--dry-run")
    assert "no issues" in manage("check", "--fail-level", "WARNING", "--database", "default")


def past_of(text: str) -> str:
    """The code that stands in comments for the shell."""
    lines = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    return "\n".join(line for line in lines if "manage.py" not in line)


ORIGINS = """
import json
from collections import Counter
from shop.models import DBTaskResultFlowEvent, EmailAddressFlowEvent, InvitationFlowEvent

print(json.dumps(Counter(
    event.origin
    for model in (DBTaskResultFlowEvent, EmailAddressFlowEvent, InvitationFlowEvent)
    for event in model.objects.all()
)))
"""
