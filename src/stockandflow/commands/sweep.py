"""``stockandflow sweep``: find the moves that the capture missed, and write them, or with ``--dry-run`` only tell."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stockandflow.capture import audit, repair
from stockandflow.capture.auditing import NAMED
from stockandflow.capture.sweep import CHUNK, Progress
from stockandflow.commands.migrated import told_to_migrate
from stockandflow.registry import registry
from stockandflow.rendering.sweeping import audit_text, audits_to_json, swept_text, swept_to_json

HELP = "Find the moves that the capture missed, and write them; or only tell, with --dry-run."


def add_arguments(parser: CommandParser) -> None:
    """``--tracker``, ``--database``, ``--dry-run``, ``--chunk``, ``--names`` and ``--format``."""
    parser.add_argument(
        "--tracker",
        metavar="SLUG",
        dest="trackers",
        action="append",
        help="Sweep this tracker; may be given several times. Default: all of them.",
    )
    parser.add_argument(
        "--database", metavar="ALIAS", help="Sweep what this database holds. Default: all of them."
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Write nothing; name the objects that are amiss, and exit with 1 if there are any.",
    )
    parser.add_argument(
        "--chunk",
        type=int,
        metavar="N",
        default=CHUNK,
        help=f"Compare this many subjects at a time. Default: {CHUNK:,}.",
    )
    parser.add_argument(
        "--names",
        type=int,
        metavar="N",
        default=NAMED,
        help=f"With --dry-run: name up to this many objects of a kind. Default: {NAMED}.",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="Text to read (default), or JSON for other programs.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Sweep or audit, and say what was found unless the verbosity is 0; progress goes to a terminal.

    Raises InvalidInput and UnknownSlug, and ends with 1 where an audit found something.
    """
    asked = {name: options[name] for name in ("chunk",)} | {
        "using": options["database"],
        "slugs": options["trackers"],
        "progress": _progress(command) if options["verbosity"] > 0 else None,
    }
    json = options["format"] == "json"
    with told_to_migrate(registry):
        if options["dry_run"]:
            audits = audit(registry, named=options["names"], **asked)
            text = audits_to_json(audits) if json else audit_text(audits, registry)
        else:
            audits = []
            done = repair(registry, **asked)
            text = swept_to_json(done) if json else swept_text(done)
    if options["verbosity"] > 0:
        encoding = getattr(command.stdout, "encoding", None) or "utf-8"
        command.stdout.write(text.encode(encoding, "replace").decode(encoding).rstrip("\n"))
    if not all(one.in_order for one in audits):
        raise SystemExit(1)


def _progress(command: BaseCommand) -> Progress | None:
    """Tell how far it has come, on one line of the terminal; None where there is none."""
    if not command.stderr.isatty():
        return None

    def tell(slug: str, looked: int, found: int) -> None:
        # To the stream itself: the wrapper paints every line red.
        stream: Any = command.stderr._out  # noqa: SLF001
        stream.write(f"\r{slug}: {looked:,} looked at, {found:,} missing moves\x1b[K\r")
        stream.flush()

    return tell
