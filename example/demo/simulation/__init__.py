"""A business invented in memory: the same seed and the same moment always give the same history. No ORM here."""

from __future__ import annotations

from example.demo.simulation.history import History, Rules, simulate
from example.demo.simulation.life import Lead, Life, Member, Move, Ticket

__all__ = ["History", "Lead", "Life", "Member", "Move", "Rules", "Ticket", "simulate"]
