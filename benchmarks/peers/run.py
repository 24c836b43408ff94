"""One database's comparison, in a process and in databases of its own. ``python -m benchmarks.peers`` runs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import django
from django.db import connections

from benchmarks.peers.apps import APPS, there
from benchmarks.run import versions

PARTS = ("speed", "paths")


def main(arguments: list[str]) -> None:
    """Make the databases, compare, write what was found as JSON, and drop them again, come what may."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append", default=[])
    options = parser.parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.settings"
    os.environ["STOCKANDFLOW_BENCHMARK_DB"] = options.database
    django.setup()
    peers = []
    for name in there(options.database):
        peers += import_module(f"{APPS[name][-1]}.peer").PEERS
    with ExitStack() as ending:
        for alias in connections:
            creation, before = connections[alias].creation, connections[alias].settings_dict["NAME"]
            creation.create_test_db(verbosity=0, autoclobber=True)
            ending.callback(creation.destroy_test_db, before, verbosity=0)
        found = {"versions": versions(), "peers": {peer.distribution: peer.version for peer in peers}}
        for part in options.only or PARTS:
            of_part = import_module(f"benchmarks.peers.{part}")
            found[part] = [asdict(one) for one in of_part.run(options.database, peers, quick=options.quick)]
    options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
