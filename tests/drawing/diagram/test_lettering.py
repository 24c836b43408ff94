"""How a name that is too long for its place is cut."""

from __future__ import annotations

import pytest

from stockandflow.drawing.diagram.lettering import fitted, text_width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Payment failing", "Payment failing"),
        ("Payment failing finally today", "Payment failing…"),
        ("Payment failing at the bank", "Payment failing at…"),
        ("Payment failinglessly", "Payment failingles…"),
        ("A reactivationofmembers", "A reactivationofme…"),
        ("Unternehmensgründungszuschuss", "Unternehmensgrün…"),
    ],
)
def test_it_ends_with_a_word_where_that_leaves_most_of_what_fits(text: str, shown: str) -> None:
    assert fitted(text, 10, 100) == shown
    assert text_width(shown, 10) <= 100 or shown == text
