"""How wide a text is likely to be, and how much of it fits: there is no font to ask."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

NARROW, WIDE = frozenset("fijlrtI.,:;'|!()[]- "), frozenset("mwMW@%&")


def advance(character: str) -> float:
    """How far a character takes the pen, in ems: on the wide side, since fonts differ."""
    if combining(character):
        return 0.0
    if east_asian_width(character) in "WF":
        return 1.04
    if character in NARROW:
        return 0.33
    if character in WIDE:
        return 0.9
    return 0.7 if character.isupper() else 0.6


def text_width(text: str, font: float) -> float:
    """The width of the text in px, at that size of the font in px."""
    return sum(map(advance, text)) * font


def fitted(text: str, font: float, most: float) -> str:
    """The text, or as much of its beginning as fits into ``most`` px, with an ellipsis: one letter at least.

    It ends with a word where that leaves most of what fits.
    """
    if text_width(text, font) <= most:
        return text
    kept = text
    while len(kept) > 1 and text_width(kept + "…", font) > most:
        kept = kept[:-1]
    words = kept if text[len(kept)].isspace() else kept.rpartition(" ")[0]
    return (words if len(words) * 3 >= len(kept) * 2 else kept).rstrip() + "…"
