"""The example project's settings, on the database that ``STOCKANDFLOW_TEST_DB`` names (SQLite by default)."""

import os
from importlib.util import find_spec

from example.settings import *  # noqa: F403
from tests.databases import settings_for

INSTALLED_APPS = [*INSTALLED_APPS, "tests.testapp", "tests.capture.keyed", "tests.write_paths"]  # noqa: F405
# Packages whose history is brought in; their tests fail without them, the others don't need them.
PEERS = ["simple_history", "django_fsm", "django_fsm_log"]
if os.environ.get("STOCKANDFLOW_TEST_DB") == "postgresql":
    PEERS += ["pgtrigger", "pghistory"]
if all(find_spec(name) for name in PEERS):
    INSTALLED_APPS += [*PEERS, "tests.history.peers"]
DATABASES = {"default": settings_for(os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite"))}

# The default hasher is slow on purpose; no test here is about passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
