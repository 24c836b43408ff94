"""The databases that the tests run on: how each is reached, and one run of pytest for each that answers.

``python -m tests.databases [arguments for pytest]`` is what ``make test`` calls. The environment sets:

- ``STOCKANDFLOW_DATABASES``: the databases to run on, separated by commas; all three by default.
- ``STOCKANDFLOW_REQUIRE_DATABASES``: with ``1``, a database that can't be used is a failure.
- ``STOCKANDFLOW_TEST_WORKERS``: processes of pytest-xdist; ``auto`` by default, ``0`` for none.
- ``PGHOST``, ``PGPORT``, ``PGUSER``, ``PGPASSWORD``: PostgreSQL; postgres at 127.0.0.1:5432 by default.
- ``MARIADB_HOST``, ``MARIADB_PORT``, ``MARIADB_USER``, ``MARIADB_PASSWORD``: MariaDB; root at 127.0.0.1:3306.

``STOCKANDFLOW_TEST_DB`` names the one database of a run of pytest itself; SQLite by default. Each run makes
test databases of its own, named after its process, so that runs beside each other don't meet.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("sqlite", "postgresql", "mariadb")
PROBE_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 30
"""How long a test waits for its server, on a machine that has more to do."""
NOTHING_TO_RUN = 5
"""pytest's exit code where no test was left."""
ROOT = Path(__file__).resolve().parent.parent


def run_id() -> str:
    """The name of this run of pytest, shared with its workers and with every process that a test starts."""
    return os.environ.setdefault("STOCKANDFLOW_TEST_RUN", str(os.getpid()))


def settings_for(name: str) -> dict[str, Any]:
    """The entry of ``DATABASES`` for one of ``NAMES``; reads the environment, connects to nothing."""
    test_name = f"test_stockandflow_{run_id()}"
    if name == "sqlite":
        # A file, since a database in memory can't be reached by a second process, and some tests start one.
        # Nothing here must survive a power cut, so nothing waits for the disk.
        folder = Path(tempfile.gettempdir())
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / f"stockandflow_{run_id()}.sqlite3"),
            "OPTIONS": {"timeout": 30, "init_command": "PRAGMA synchronous=OFF"},
            "TEST": {"NAME": str(folder / f"{test_name}.sqlite3")},
        }
    if name == "postgresql":
        # Nothing waits for the disk here either; what is committed is still there when a client is killed.
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "HOST": os.environ.get("PGHOST", "127.0.0.1"),
            "PORT": os.environ.get("PGPORT", "5432"),
            "USER": os.environ.get("PGUSER", "postgres"),
            "PASSWORD": os.environ.get("PGPASSWORD", ""),
            "OPTIONS": {"connect_timeout": CONNECT_TIMEOUT_S, "options": "-c synchronous_commit=off"},
            "TEST": {"NAME": test_name},
        }
    if name == "mariadb":
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": "",
            "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
            "PORT": os.environ.get("MARIADB_PORT", "3306"),
            "USER": os.environ.get("MARIADB_USER", "root"),
            "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
            "OPTIONS": {"connect_timeout": CONNECT_TIMEOUT_S, "charset": "utf8mb4"},
            "TEST": {"NAME": test_name, "CHARSET": "utf8mb4"},
        }
    raise ValueError(f"STOCKANDFLOW_TEST_DB is {name!r}, wanted one of {', '.join(NAMES)}.")


def why_left_out(name: str) -> str:
    """Why the tests can't run on this database, in words for a person; empty when they can. Connects once."""
    if name == "sqlite":
        return ""
    settings = settings_for(name)
    where = f"{settings['HOST']}:{settings['PORT']} as {settings['USER']}"
    try:
        if name == "postgresql":
            import psycopg

            psycopg.connect(
                host=settings["HOST"],
                port=settings["PORT"],
                user=settings["USER"],
                password=settings["PASSWORD"],
                dbname=settings["NAME"],
                connect_timeout=PROBE_TIMEOUT_S,
            ).close()
        else:
            import MySQLdb

            connected: Any = MySQLdb.connect(
                host=settings["HOST"],
                port=int(settings["PORT"]),
                user=settings["USER"],
                password=settings["PASSWORD"],
                connect_timeout=PROBE_TIMEOUT_S,
            )
            connected.close()
    except ImportError as error:
        return f"its driver is not installed ({error}); see requirements/driver-{name}.txt"
    except Exception as error:  # noqa: BLE001  (whatever a driver raises, the reason is told, never lost)
        return f"no connection to {where} ({' '.join(str(error).split())})"
    return ""


def run_pytest(name: str, arguments: list[str]) -> tuple[int, str]:
    """Run pytest on one database; its exit code, and its closing line without the marks around it."""
    workers = os.environ.get("STOCKANDFLOW_TEST_WORKERS", "auto")
    command = [sys.executable, "-m", "pytest", "-n", workers, *arguments]
    environment = {**os.environ, "STOCKANDFLOW_TEST_DB": name, "PYTHONUNBUFFERED": "1"}
    environment.pop("STOCKANDFLOW_TEST_RUN", None)
    # Hundreds of processes are started, and each would compile the whole project anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    closing = ""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if re.search(r"\d+ (passed|failed|error|skipped|deselected)|no tests ran", line):
                closing = line.strip().strip("= ")
    return process.returncode, closing


def wanted() -> list[str]:
    """The databases that the environment asks for, in the order of ``NAMES`` unless it gives its own."""
    names = [name.strip() for name in os.environ.get("STOCKANDFLOW_DATABASES", ",".join(NAMES)).split(",")]
    for name in names:
        if name not in NAMES:
            raise SystemExit(f"STOCKANDFLOW_DATABASES names {name!r}, wanted some of {','.join(NAMES)}.")
    return names


def main(arguments: list[str]) -> int:
    """Run the tests on every database that answers and say what was run and what was not; the exit code."""
    required = os.environ.get("STOCKANDFLOW_REQUIRE_DATABASES", "0") not in ("", "0")
    summary: list[str] = []
    failed = False
    for name in wanted():
        reason = why_left_out(name)
        if reason:
            failed = failed or required
            summary.append(f"  {name:<11} {'MISSING' if required else 'left out'}: {reason}")
            continue
        print(f"\n#### {name}", flush=True)  # noqa: T201
        started = time.monotonic()
        code, closing = run_pytest(name, arguments)
        if name != "sqlite" and code == NOTHING_TO_RUN:
            summary.append(f"  {name:<11} ok: none of these tests is about the database")
            continue
        failed = failed or code != 0
        outcome = "ok" if code == 0 else f"FAILED (pytest exit code {code})"
        summary.append(f"  {name:<11} {outcome}: {closing or f'{time.monotonic() - started:.0f} s'}")
    print("\nTests by database:\n" + "\n".join(summary), flush=True)  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
