"""Geometry from numbers: pure functions that place what the pages draw. No database, no request."""
