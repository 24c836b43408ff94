"""The one rule for slugs."""

from __future__ import annotations

import re

from stockandflow.exceptions import DeclarationError

SLUG = re.compile(r"[-a-zA-Z0-9_]+")
LENGTH = 100


def checked_slug(kind: str, slug: str) -> str:
    """``slug`` itself; raises DeclarationError unless it is 1–100 letters, digits, hyphens and underscores."""
    if not isinstance(slug, str) or not SLUG.fullmatch(slug) or len(slug) > LENGTH:
        raise DeclarationError(
            f"The {kind} slug {slug!r} can't be used: a slug is 1 to {LENGTH} letters, digits, hyphens or underscores, "
            "e.g. 'past-due'. It is kept in every record, so choose one that can stay."
        )
    return slug
