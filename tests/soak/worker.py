"""One writer: writes until it is told to stop, and notes each write that was committed.

``python -m tests.soak.worker SEED FILE``. What a changed schema or another writer makes fail is tried again; what
else fails ends the process, and the run with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from types import FrameType

import django

PASSING = (
    "cached plan must not change result type",
    "could not serialize access",
)
"""Errors, other than operational ones, that pass when the work is done again."""


def main(seed: str, file: str) -> None:
    """Write until SIGTERM; what was done goes to the file, a line each, so that a kill loses none of it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.soak.settings"
    django.setup()
    from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection

    from tests.soak.writes import chosen

    stopping = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    chance = Random(seed)
    with Path(file).open("ab", buffering=0) as log:
        while not stopping:
            try:
                write = chosen(chance)
                write(chance)
            except IntegrityError:
                log.write(
                    b"refused\n"
                )  # another writer was quicker: a customer is gone, a code or key is taken
            except (OperationalError, InterfaceError) as error:
                log.write(f"again: {' '.join(str(error).split())[:90]}\n".encode())
                connection.close()
                time.sleep(chance.random() / 50)
            except DatabaseError as error:
                if "did not affect any rows" in str(error):  # a save of one field, and the row was gone
                    log.write(b"refused\n")
                    continue
                if not any(words in str(error) for words in PASSING):
                    raise
                log.write(f"again: {' '.join(str(error).split())[:90]}\n".encode())
                connection.close()
            else:
                log.write(f"{write.__name__}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
