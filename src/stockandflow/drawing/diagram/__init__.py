"""The diagram of a process: stocks as boxes, flows as pipes between them, clouds for what is outside."""

from stockandflow.drawing.diagram.drawn import Diagram, DrawnBox, DrawnPipe, Label, Rectangle, in_svg
from stockandflow.drawing.diagram.given import Box, Pipe, Places
from stockandflow.drawing.diagram.layout import MOST_PIPES, diagram, miniature, neighbourhood

__all__ = [
    "MOST_PIPES",
    "Box",
    "Diagram",
    "DrawnBox",
    "DrawnPipe",
    "Label",
    "Pipe",
    "Places",
    "Rectangle",
    "diagram",
    "in_svg",
    "miniature",
    "neighbourhood",
]
