"""The example served by a process of its own, so that a browser's event loop and Django's database never meet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.code_blocks import ROOT

TIMEOUT_S = 120
SCALE, MONTHS = "0.06", "3"
"""Small, and with something in every stock and every flow but one."""


def build(database: Path, *, scale: str = SCALE, months: str = MONTHS) -> None:
    """Build the example's business into a new SQLite file; some seconds."""
    manage("demo", "--scale", scale, "--months", months, database=database)


@contextmanager
def served(database: Path, log: Path) -> Iterator[str]:
    """The example over that file, without debugging aids; gives the address, e.g. ``http://127.0.0.1:40123``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as written,
        subprocess.Popen(
            [
                sys.executable,
                "example/manage.py",
                "runserver",
                f"127.0.0.1:{port}",
                "--noreload",
                "--insecure",
                "--skip-checks",
            ],
            cwd=ROOT,
            env=_environment(database, "tests.browser.settings"),
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            _await(f"{origin}/admin/login/", server, log)
            yield origin
        finally:
            server.kill()


def manage(*arguments: str, database: Path) -> None:
    """Run a command of the example on that file; raises CalledProcessError where it fails."""
    subprocess.run(
        [sys.executable, "example/manage.py", *arguments],
        cwd=ROOT,
        env=_environment(database, "example.settings"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=True,
    )


def _environment(database: Path, settings: str) -> dict[str, str]:
    left_out = ("FRESH", "PORT")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {
        "DJANGO_SETTINGS_MODULE": settings,
        "EXAMPLE_DATABASE": str(database),
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "SERVE": "0",
    }


def _await(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.poll() is None, f"The server ended instead of serving:\n{log.read_text()}"
        try:
            with urlopen(address, timeout=5):  # noqa: S310
                return
        except URLError:
            time.sleep(0.05)
    raise AssertionError(f"Nothing answered at {address}.")
