"""The example's Content-Security-Policy: sent with every page, by Django or by django-csp, and without exceptions."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.code_blocks import ROOT

POLICY = (
    "base-uri 'none'; default-src 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self'; "
    "script-src 'self'; style-src 'self'"
)

WITHOUT_DJANGO_CSP = """
import sys
sys.modules["csp"] = None
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == "csp" else found(name, *rest)
import django
django.VERSION = (5, 2, 0, "final", 0)
from example import settings
print([name for name in settings.MIDDLEWARE if "csp" in name], hasattr(settings, "CONTENT_SECURITY_POLICY"))
"""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/stockandflow/", "/stockandflow/membership/", "/admin/", "/stockandflow-admin/"]
)
def test_every_page_has_a_strict_policy(client: Client, address: str) -> None:
    client.force_login(User.objects.create_superuser("someone"))
    sent = client.get(address)["Content-Security-Policy"]
    assert "; ".join(sorted(sent.rstrip("; ").split("; "))) == POLICY
    assert "unsafe" not in sent


def test_the_example_does_without_django_csp_where_django_has_no_policy_of_its_own() -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_DJANGO_CSP], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "[] False\n"
