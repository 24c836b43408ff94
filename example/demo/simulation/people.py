"""Names of invented people."""

from __future__ import annotations

from random import Random

_FIRST = """
Aisha Alice Amara Andrea Anna Ben Bram Carlos Charlotte Chloe Clara Daan Daniel David Eilidh Elena Emily Emma
Eoin Erik Fatima Femke Finn Freya George Grace Hannah Harry Hugo Ibrahim Ines Isla Jack Jonas Julia Kai Karim
Lars Laura Leon Lina Lotte Louis Lucy Maeve Maja Marco Maria Mateo Maya Mia Mohammed Nadia Niamh Nina Noah
Olivia Omar Oscar Paul Petra Priya Rachel Rosa Ruth Sam Sana Sean Sofia Stefan Tara Theo Thomas Tom Uma Vera
Victor William Yasmin Yuki Zara Zoe
"""
_LAST = """
Adams Ahmed Andersen Bailey Bakker Bauer Becker Bennett Bernard Brown Byrne Campbell Chen Clarke Collins Cook
Costa Davies Diaz Doyle Dubois Edwards Evans Fischer Fitzgerald Fletcher Garcia Gray Green Hall Hansen Harris
Hoffmann Hughes Jackson Jansen Jones Kaur Kelly Khan Klein Kowalski Lambert Laurent Lee Lewis Lopez Martin
Meyer Moore Moreau Morgan Murphy Murray Nguyen Novak O'Brien O'Neill Okafor Patel Petit Quinn Reid Richter
Roberts Robinson Rossi Roux Ryan Sanders Schmidt Schulz Scott Shah Silva Simon Singh Smit Smith Stewart Taylor
Thompson Visser Wagner Walker Walsh Ward Weber White Williams Wilson Wolf Wood Wright Young Zimmermann
"""

FIRST, LAST = _FIRST.split(), _LAST.split()


def full_name(random: Random) -> str:
    return f"{random.choice(FIRST)} {random.choice(LAST)}"
