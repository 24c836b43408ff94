"""The example project's settings, on the database that ``STOCKANDFLOW_TEST_DB`` names (SQLite by default)."""

import os

from example.settings import *  # noqa: F403
from tests.databases import settings_for

INSTALLED_APPS = [*INSTALLED_APPS, "tests.testapp", "tests.capture.keyed", "tests.write_paths"]  # noqa: F405
DATABASES = {"default": settings_for(os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite"))}

# The default hasher is slow on purpose; no test here is about passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
