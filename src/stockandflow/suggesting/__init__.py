"""Suggesting a declaration for models that a project has already; nothing is written or registered."""

from __future__ import annotations

from stockandflow.suggesting.text import suggest

__all__ = ["suggest"]
