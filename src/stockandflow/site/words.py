"""Numbers by the reader's locale, in the words of every report."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from stockandflow.rendering import words
from stockandflow.reports import StockBalance


def grouped(number: float, decimals: int) -> str:
    """A number with the locale's separators, rounded."""
    # number_format() cuts decimals off, it doesn't round.
    return number_format(round(number, decimals), decimals, use_l10n=True, force_grouping=True)


def count(number: int | None) -> str:
    """A count: ``4,445``; a dash for one that isn't known."""
    return words.count(number, group=grouped)


def signed(number: int | None) -> str:
    """A number with its sign always shown, but 0 without: ``+1,289``, ``−3``."""
    return words.signed(number, group=grouped)


def hidden(line: StockBalance, name: str) -> str:
    """What stands for a number of a hidden line: ``< 5`` where it is small itself; "" where the line is told."""
    if not line.suppressed:
        return ""
    return f"< {grouped(line.least, 0)}" if name in line.few else _("hidden")
