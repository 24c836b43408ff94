"""One of the processes that write while stocks are recorded: ``python -m tests.recording.writer DATABASE SEED``.

It writes to the example's members until its input ends, and then prints how many of its writes were committed.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import django

PAUSE_S = 0.003
COUNTRIES = ("GB", "IE", "DE", "ZZ", None)
WANTED, AT_ONCE = 300, 8
"""About how many members there are, and how many a write concerns."""


def main(database: str, seed: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from django.db import IntegrityError, OperationalError, connection

    connection.settings_dict["NAME"] = database
    chance, done, ended = random.Random(seed), 0, threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    while not ended.is_set():
        try:
            write(chance)
            done += 1
        except IntegrityError:
            continue  # a note was written meanwhile about a member that was to go
        except OperationalError:  # a deadlock, or SQLite's lock was awaited for too long
            connection.close()
        time.sleep(chance.random() * PAUSE_S)
    sys.stdout.write(f"{done}\n")


def write(chance: random.Random) -> None:
    """Create, move, change or delete a few members, in one transaction."""
    from django.db import transaction

    from example.membership.models import Member, Plan, Status

    plans, members = list(Plan.objects.all()), Member.objects.order_by("pk")
    keys = list(members.values_list("pk", flat=True))
    some = members.filter(pk__in=chance.sample(keys, min(AT_ONCE, len(keys)))).order_by()
    with transaction.atomic():
        if len(keys) < WANTED * chance.random() * 2:
            Member.objects.bulk_create(
                Member(
                    name="m",
                    email="m@example.org",
                    plan=chance.choice(plans),
                    country=chance.choice(COUNTRIES),
                    status=chance.choice(Status.values),
                )
                for _ in range(AT_ONCE)
            )
        some.update(status=chance.choice(Status.values), country=chance.choice(COUNTRIES))
        if chance.random() < 0.3:
            some.update(plan=chance.choice(plans))
        if chance.random() < 0.3:
            some.delete()


if __name__ == "__main__":
    main(*sys.argv[1:])
