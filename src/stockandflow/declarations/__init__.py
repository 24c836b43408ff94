"""What a project writes: stocks, flows, facets, trackers and processes. Inert until registered."""

from __future__ import annotations

from stockandflow.declarations.facet import AppliedFacet, Facet
from stockandflow.declarations.flow import ANY, ELSEWHERE, Flow, State, state_key
from stockandflow.declarations.process import Process
from stockandflow.declarations.stock import Stock
from stockandflow.declarations.tracker import ModelTracker

__all__ = [
    "ANY",
    "ELSEWHERE",
    "AppliedFacet",
    "Facet",
    "Flow",
    "ModelTracker",
    "Process",
    "State",
    "Stock",
    "state_key",
]
