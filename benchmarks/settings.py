"""Settings of a benchmark's process: one database of its own, named by ``STOCKANDFLOW_BENCHMARK_DB``."""

import os
from typing import Any

from tests.databases import settings_for


def measured(name: str, suffix: str = "") -> dict[str, Any]:
    """The database as the tests reach it, under a name of this process, and without waiting for the disk.

    A wait for the disk is the same with capture and without; it would only draw every ratio nearer to one.
    """
    settings = settings_for(name)
    settings["TEST"]["NAME"] = f"{settings['TEST']['NAME']}_benchmark_{os.getpid()}{suffix}"
    if name == "sqlite":
        settings["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"
    return settings


SECRET_KEY = "nothing-is-signed-here"  # noqa: S105
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "stockandflow",
    "benchmarks",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ],
        },
    },
]
ROOT_URLCONF = "benchmarks.urls"
ALLOWED_HOSTS = ["testserver"]
STATIC_URL = "static/"
DATABASES = {"default": measured(os.environ.get("STOCKANDFLOW_BENCHMARK_DB", "sqlite"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
