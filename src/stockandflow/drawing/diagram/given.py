"""What a diagram is made from: a box for each stock, a pipe for each way that objects took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Places = Mapping[str, tuple[int, int]]
"""Slug of a stock → its column and row, both from 0; columns and rows that nothing stands in are closed up."""


@dataclass(frozen=True)
class Box:
    """A stock. ``count`` and ``change`` are texts as they shall be shown, "" for none.

    ``values`` are its levels over time for the sparkline, None where one isn't known. ``spoken`` is what its link is
    called for those who hear the page.
    """

    slug: str
    name: str
    count: str = ""
    change: str = ""
    values: Sequence[float | None] = ()
    url: str = ""
    spoken: str = ""
    verdict: str = ""
    """``better`` or ``worse``, what the change is; "" for neither."""


@dataclass(frozen=True)
class Pipe:
    """The moves of one flow from ``source`` to ``sink``; a slug that no box has, such as "", is outside.

    ``number`` sets the width, ``count`` is how it is written. ``other`` marks moves that no flow covers. ``spoken`` is
    what its link is called for those who hear the page, and the two names say what its ends are called.
    """

    slug: str
    name: str
    source: str
    sink: str
    number: int = 0
    count: str = ""
    url: str = ""
    other: bool = False
    spoken: str = ""
    source_name: str = ""
    sink_name: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells this pipe from the others of a diagram."""
        return self.slug, self.source, self.sink


def outside(pipe: Pipe, slugs: Mapping[str, int]) -> tuple[int | None, int | None]:
    """The places of a pipe's source and sink among the boxes, None for outside."""
    return slugs.get(pipe.source), slugs.get(pipe.sink)
