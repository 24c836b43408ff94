"""``python example/manage.py demo``: build the business once, print its report, and serve it."""

from __future__ import annotations

import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.urls import reverse

from example.demo.build import build

HOST = "127.0.0.1"
MANAGER, VIEWER = "demo", "viewer"
"""Two users, whose passwords are their names."""
SWITCH = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


class Command(BaseCommand):
    """What it does depends on FRESH, PORT and SERVE in the environment, as ``make demo PORT=8001`` sets them."""

    help = (
        "Build the example's business (or reuse it; FRESH=1 starts over), print the report of its membership, and "
        "serve it on 127.0.0.1 (PORT=8000; SERVE=0 stops after printing)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--scale",
            type=float,
            default=1.0,
            help="How many people come, 1 being about 15,000 (default: 1).",
        )
        parser.add_argument("--months", type=int, default=18, help="How far back it goes (default: 18).")

    def handle(self, *, scale: float, months: int, **options: Any) -> None:
        fresh, serve, port = _switch("FRESH", default=False), _switch("SERVE", default=True), _port()
        if serve:
            _check_free(port)
        path = _database()
        if not fresh and _holds_business(path):
            self.stdout.write(f"Reusing the business in {path} (FRESH=1 builds a new one).\n\n")
        else:
            self._build(path, scale, months)
        try:
            call_command("migrate", verbosity=0)
            call_command("run_periodic_schedule", verbosity=0, stdout=self.stdout)
            call_command("stockandflow", "report", "membership", stdout=self.stdout)
        except DatabaseError as error:
            raise CommandError(
                f"{path} doesn't fit this version of the example ({error}); build a new one with FRESH=1."
            ) from error
        self._tell_how_to_log_in(port, serve)
        if serve:
            call_command("runserver", f"{HOST}:{port}", use_reloader=False, skip_checks=True)

    def _build(self, path: Path, scale: float, months: int) -> None:
        """Build beside ``path`` and move it there when it is complete: what is half done is never reused."""
        started = time.monotonic()
        self.stdout.write(f"Building the business in {path}; the next run will reuse it.\n")
        unfinished = path.with_name(f"{path.stem}.unfinished{path.suffix}")
        _remove(unfinished)
        with _connected_to(unfinished):
            with self._step("Making the tables"):
                call_command("migrate", verbosity=0)
            build(scale=scale, months=months, step=self._step)
            with self._step(f"Adding the users {MANAGER} and {VIEWER}"):
                _add_users()
        _remove(path)
        unfinished.rename(path)
        self.stdout.write(f"Built in {time.monotonic() - started:.0f} s.\n\n")

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        self.stdout.write(f"  {what} ".ljust(72, "."), ending="")
        self.stdout.flush()
        try:
            yield
        except BaseException:
            self.stdout.write(" failed")
            raise
        self.stdout.write(f" {time.monotonic() - started:4.1f} s")

    def _tell_how_to_log_in(self, port: int, serve: bool) -> None:
        site = f"http://{HOST}:{port}"
        self.stdout.write(
            "\n"
            + ("" if serve else "To look around, run it again without SERVE=0. Then:\n")
            + f"  Pages           {site}{reverse('stockandflow:index')}\n"
            f"  Work on stocks  {site}{reverse('stockandflow_admin:index')}\n"
            f"  Ordinary admin  {site}{reverse('admin:index')}\n"
            f"  Unexplained     {_python()} example/manage.py stockandflow sweep --dry-run names the members\n"
            f"  Log in as       {MANAGER} (may do everything) or {VIEWER} (may look); the password is the name\n"
        )


def _python() -> str:
    """The interpreter that runs this, as one writes it from here."""
    here, python = Path.cwd(), Path(sys.executable)
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def _switch(name: str, *, default: bool) -> bool:
    """Whether the environment switches something on; raises CommandError for a value that is neither 0 nor 1."""
    given = os.environ.get(name, "").strip().lower()
    if given and given not in SWITCH:
        raise CommandError(f"{name} is {given!r}; write {name}=1 or {name}=0, or leave it out.")
    return SWITCH[given] if given else default


def _port() -> int:
    given = os.environ.get("PORT", "").strip() or "8000"
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= 65535:
        raise CommandError(f"PORT is {given!r}; write a number from 1 to 65535, e.g. PORT=8001.")
    return int(given)


def _check_free(port: int) -> None:
    """Raises CommandError where nothing can be served on the port, before anything is built."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"Nothing can be served on {HOST}:{port} ({error.strerror}). Stop what is serving there, or choose "
                f"another port with PORT, e.g. PORT={port + 1 if port < 65535 else 8000}."
            ) from error


def _database() -> Path:
    """The file of the database; raises CommandError where it is none."""
    if connection.vendor != "sqlite":
        raise CommandError(
            f"The demo keeps its data in an SQLite file, but the settings name a {connection.display_name} database; "
            "use example.settings."
        )
    return Path(connection.settings_dict["NAME"])


def _holds_business(path: Path) -> bool:
    """Whether it was built already; raises CommandError for a file of something else, which isn't ours to replace."""
    tables = connection.introspection.table_names() if path.exists() else []
    if tables and not ("auth_user" in tables and User.objects.filter(username=MANAGER).exists()):
        raise CommandError(
            f"{path} holds no finished demonstration. Have it replaced with FRESH=1, or name another file with "
            "EXAMPLE_DATABASE."
        )
    return bool(tables)


@contextmanager
def _connected_to(path: Path) -> Iterator[None]:
    """Have the default connection use another SQLite file inside; closed afterwards, it has no log left beside it."""
    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(path)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-shm", "-wal"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _add_users() -> None:
    """Add one who may do everything, and one who may only look."""
    User.objects.create_superuser(MANAGER, password=MANAGER)
    viewer = User.objects.create_user(VIEWER, password=VIEWER, is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
