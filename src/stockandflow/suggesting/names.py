"""Slugs, identifiers and literals for code that a person is to paste."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, count

from django.utils.text import camel_case_to_spaces

LONGEST = 80
"""A slug is at most this long, so that flows' slugs, which are longer, fit too."""


def slug_of(text: str) -> str:
    """The text in small ASCII letters, digits and hyphens: ``"Past due"`` → ``"past-due"``; "" if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-")


def words_of(class_name: str) -> str:
    """``"DBTaskResult"`` → ``"db task result"``."""
    return camel_case_to_spaces(class_name)


class Names:
    """Gives each name once, and none of those that are ``taken``; upper and lower case are the same."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}

    def take(self, *names: str) -> None:
        self._taken.update(name.casefold() for name in names)

    def free(self, *names: str) -> bool:
        return not any(name.casefold() in self._taken for name in names)

    def give(self, *wanted: str, between: str = "-") -> str:
        """The first of the wanted names that is free, else the last with a number; taken from now on."""
        name = next(name for name in chain(wanted, _numbered(wanted[-1], between)) if self.free(name))
        self.take(name)
        return name

    def identifier(self, slug: str) -> str:
        """A variable named like the slug."""
        name = re.sub(r"\W", "_", slug)
        if not name.isidentifier() or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            name = f"{name}_" if name.isidentifier() else f"a_{name}"
        return self.give(name, between="_")


def _numbered(name: str, between: str) -> Iterator[str]:
    return (f"{name}{between}{number}" for number in count(2))


def sentence(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def literal(value: str | int | bool | None) -> str:
    """A Python literal, its quotes as ruff would have them."""
    shown = repr(value)
    if not isinstance(value, str) or shown[0] == '"':
        return shown
    if value.count('"') > value.count("'"):
        return shown
    return '"' + shown[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def call(head: str, arguments: list[str], *, indent: int = 0, width: int = 110) -> str:
    """A call, a list or a dict, broken as ruff would break it; ``head`` ends with the opening bracket.

    An argument that has several lines is indented already, as a call with ``indent + 4`` gives it.
    """
    pad, deeper, arguments = " " * indent, " " * (indent + 4), [one.lstrip() for one in arguments]
    tail, row = {"(": ")", "[": "]", "{": "}"}[head[-1]], ", ".join(arguments)
    if "\n" not in row and len(pad + head + row + tail) < width:  # a comma may follow
        return f"{pad}{head}{row}{tail}"
    if "\n" not in row and tail == ")" and len(deeper + row) <= width:
        return f"{pad}{head}\n{deeper}{row}\n{pad}{tail}"
    if tail == ")" and len(arguments) == 1:
        return f"{pad}{head}\n{deeper}{row}\n{pad}{tail}"
    rows = "".join(f"{deeper}{argument},\n" for argument in arguments)
    return f"{pad}{head}\n{rows}{pad}{tail}"
