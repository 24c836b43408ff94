"""Every error that the package raises on purpose, under one root."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class StockAndFlowError(Exception):
    """The root of all errors raised on purpose; its text says what was given, wanted, and what to do."""


class DeclarationError(StockAndFlowError, ValueError):
    """A declaration is wrong on its own account, whatever else is declared."""


class AutodiscoveryError(StockAndFlowError):
    """A ``stocksandflows`` module raised while it was being imported; nothing of it stays registered."""


class NotRegistered(StockAndFlowError):
    """A declaration was asked about its neighbours before it was registered."""


class NotLocal(StockAndFlowError):
    """A queryset's membership can't be read from the subject's own row; the text is the reason, in words."""


class InvalidInput(StockAndFlowError, ValueError):
    """A value handed to a report, a recording or a command can't be used."""


class HistoryRefused(InvalidInput):
    """Rows of history can't be brought in, and nothing was written.

    ``problems`` are the first by line, as (line, text); ``total`` is how many there are.
    """

    def __init__(self, tracker: str, problems: Iterable[tuple[int, str]], total: int) -> None:
        self.problems, self.total = tuple(problems), total
        shown = "".join(f"\n  line {line}: {text}" for line, text in self.problems)
        more = total - len(self.problems)
        super().__init__(
            f"The history of the tracker {tracker!r} has {total:,} {'problem' if total == 1 else 'problems'}; nothing "
            f"was written. Mend the rows and import them all again.{shown}"
            + (f"\n  and {more:,} more" if more else "")
        )


class LeaseLost(StockAndFlowError):
    """A runner held something for too long, and another took it over; what it did in the database is taken back."""


def closest(given: object, known: Iterable[str]) -> str:
    """The one of those known that is most like what was given, "" where none is like it."""
    return next(iter(get_close_matches(str(given), list(known), n=1, cutoff=0.5)), "")


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """`` Did you mean 'active'?`` where one of those known is like what was given, else ""."""
    close = closest(given, known)
    return f" Did you mean {close!r}?" if close else ""


class UnknownSlug(InvalidInput, LookupError):
    """No declaration of that kind has that slug."""

    def __init__(self, kind: str, slug: str, known: Iterable[str]) -> None:
        known = sorted(known)
        have = f"Registered: {', '.join(map(repr, known))}." if known else f"No {kind} is registered."
        super().__init__(f"No {kind} has the slug {slug!r}.{did_you_mean(slug, known)} {have}")
        self.kind, self.slug = kind, slug


class UnknownFacetValue(InvalidInput, LookupError):
    """A facet has no such value."""

    def __init__(self, facet: str, value: object, known: Iterable[str], *, reason: str = "") -> None:
        known = list(known)
        shown = ", ".join(map(repr, known[:20])) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        wanted = reason or f"it has {shown or 'no values yet'}"
        super().__init__(f"The facet {facet!r} has no value {value!r}; {wanted}.")
        self.facet, self.value = facet, value
