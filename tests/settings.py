"""The example project's settings, on the database that ``STOCKANDFLOW_TEST_DB`` names (SQLite by default)."""

import importlib.util
import os

from tests.databases import settings_for

if importlib.util.find_spec("example") and importlib.util.find_spec("example.settings"):
    from example.settings import *  # noqa: F403
else:
    SECRET_KEY = "tests"  # noqa: S105
    USE_TZ = True
    INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]

DATABASES = {"default": settings_for(os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite"))}

# The default hasher is slow on purpose; no test here is about passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
