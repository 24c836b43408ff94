"""Processes of their own on the test's database, for what a test can't do to itself: be killed, stopped or cut off."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from django.db import connection

ROOT = Path(__file__).resolve().parents[1]

BEGUN = """
    import os
    import signal
    import sys
    import time

    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = sys.argv[1]
"""

KILLED_AT_EACH_STATEMENT = """
    from django.db import connections

    def killed_at(number, after, work):
        # Whether it came to its end before statement ``number`` of this connection.
        child = os.fork()
        if child:
            status = os.waitpid(child, 0)[1]
            assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
            return not os.WIFSIGNALED(status)
        count = 0

        def die(execute, sql, params, many, context):
            nonlocal count
            count += 1
            if count == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = execute(sql, params, many, context)
            if count == number and after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        code = 1
        try:
            with connection.execute_wrapper(die):
                work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    def killed_everywhere(prepare, recover):
        # Before and after each statement of what prepare(name) gives, until it comes to its end; how often.
        kills = 0
        for after in (False, True):
            number, ended = 1, False
            while not ended:
                name = f"{'after' if after else 'before'} {number}"
                work = prepare(name)
                connections.close_all()
                ended = killed_at(number, after, work)
                kills += not ended
                number += 1
                recover(name)
        print(kills)
"""


def begun(*codes: str, arguments: tuple[object, ...] = ()) -> subprocess.Popen[str]:
    """A Python that has set Django up on the test's database and runs those pieces of code; pipes for all three."""
    code = "".join(textwrap.dedent(one) for one in (BEGUN, *codes))
    name = str(connection.settings_dict["NAME"])
    return subprocess.Popen(
        [sys.executable, "-c", code, name, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], timeout_s: float = 180) -> str:
    """What it wrote until it ended well."""
    written, failure = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, written + failure
    return written


def hears(process: subprocess.Popen[str]) -> str:
    """The next line that it writes; what it has to say of its end where there is none."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return line.strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Let it go on from where it waits for a line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def cut_off(own: Any) -> None:
    """End a connection from the server's side. PostgreSQL and MariaDB; from another connection."""
    if own.connection is None:
        return
    other = own.copy()
    try:
        with other.cursor() as cursor:
            if own.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.connection.info.backend_pid])
            else:
                cursor.execute(f"KILL CONNECTION {own.connection.thread_id()}")
    finally:
        other.close()


def cut_off_others() -> int:
    """End all connections to the test's database but this one; how many they were."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return len(cursor.fetchall())
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        found = [key for (key,) in cursor.fetchall()]
        for key in found:
            cursor.execute(f"KILL CONNECTION {key}")
    return len(found)
