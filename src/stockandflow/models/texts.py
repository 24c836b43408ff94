"""Text from elsewhere, as every database keeps it."""

from __future__ import annotations


def storable(text: str) -> str:
    r"""The text with what some database refuses written out: lone surrogates as ``\udce9``, NUL as ``\x00``.

    Errors have such text where they quote a file's name that can't be decoded, or a piece of a binary file.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
