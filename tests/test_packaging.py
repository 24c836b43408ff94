"""The wheel that users get: built from the source distribution, installed where nothing else is, and used."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import django
import pytest

from tests.code_blocks import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
        reason="a package is the same on every database: one run shows it",
    ),
]

PACKAGE = ROOT / "src" / "stockandflow"

SETTINGS = """
from pathlib import Path

SECRET_KEY = "tests of the wheel"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "stockandflow",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "usersite.urls"
STATIC_URL = "static/"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent.parent / "db.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

URLS = """
from django.urls import include, path

urlpatterns = [path("stockandflow/", include("stockandflow.urls"))]
"""

USE = """
import django

django.setup()

from importlib.resources import files
from pathlib import Path

from django.contrib.staticfiles import finders
from django.template.loader import get_template

import stockandflow

package = Path(str(files(stockandflow)))
assert "site-packages" in package.parts, f"not the installed package: {package}"
assert stockandflow.__all__, "the package names nothing as public"
for name in stockandflow.__all__:
    getattr(stockandflow, name)
for path in sorted((package / "templates").rglob("*.*")):
    get_template(path.relative_to(package / "templates").as_posix())
for path in sorted((package / "static").rglob("*.*")):
    assert finders.find(path.relative_to(package / "static").as_posix()), path
print("used:", len(stockandflow.__all__), "names")
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command without this run's own variables of Python and Django; what it printed."""
    left_out = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in left_out} | variables
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as an index would hold it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel, Django, and what these two ask for."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    path = folder / "venv" / "bin" / "python"
    run(path, "-m", "pip", "install", "-qq", wheel, f"Django=={django.__version__}", cwd=folder)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project: settings and urls that name the app, and nothing more."""
    folder = tmp_path / "usersite"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "urls.py").write_text(URLS)
    return tmp_path


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        f"stockandflow/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert "stockandflow/py.typed" in held


def test_the_wheel_carries_the_licence_and_asks_for_django_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        lines = archive.read(metadata).decode().splitlines()
    assert "License-Expression: MIT" in lines
    needed = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert needed == ["Requires-Dist: django<6.2,>=5.2"]


def test_an_empty_environment_with_the_wheel_has_django_and_no_other_library(python: Path) -> None:
    code = "from importlib.metadata import distributions as d; print(*(x.name.lower() for x in d()))"
    names = set(run(python, "-c", code, cwd=python.parent).split())
    assert names - {"pip", "setuptools"} == {"django-stockandflow", "django", "asgiref", "sqlparse"}


def test_a_project_uses_the_installed_wheel(python: Path, project: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "usersite.settings", "PYTHONPATH": str(project)}
    assert "no issues" in run(
        python, "-m", "django", "check", "--fail-level", "WARNING", cwd=project, **settings
    )
    assert "stockandflow" in run(python, "-m", "django", "migrate", cwd=project, **settings)
    run(python, "-m", "django", "makemigrations", "--check", "--dry-run", cwd=project, **settings)
    run(python, "-m", "django", "run_periodic_schedule", cwd=project, **settings)
    assert "used:" in run(python, "-W", "error", "-c", USE, cwd=project, **settings)
