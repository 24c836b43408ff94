"""Threads that start together, for what several runners, workers or users do at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connections


def side_by_side(*works: Callable[[], object]) -> None:
    """Do these at once, each with connections of its own; what the first one to fail raised is raised."""
    gate, errors = threading.Barrier(len(works)), list[BaseException]()

    def one(work: Callable[[], object]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as error:  # noqa: BLE001  (it is raised again below)
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
