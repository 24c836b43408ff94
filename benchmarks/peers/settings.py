"""Settings of a comparison's process: the database of a benchmark, a second one, and what is installed."""

import os

from benchmarks.peers.apps import APPS, there
from benchmarks.settings import *  # noqa: F403
from benchmarks.settings import measured

_database = os.environ.get("STOCKANDFLOW_BENCHMARK_DB", "sqlite")
DATABASES = {"default": measured(_database), "second": measured(_database, "_second")}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "stockandflow",
    "benchmarks",
    "tests.write_paths",
    *(app for name in there(_database) for app in APPS[name]),
]
# The models here have no migrations, and what they refer to must be made along with them.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "auditlog": None}
ROOT_URLCONF = "benchmarks.peers.settings"
urlpatterns: list[object] = []
PGTRIGGER_INSTALL_ON_MIGRATE = True
