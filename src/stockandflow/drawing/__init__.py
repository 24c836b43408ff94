"""Drawing: plain numbers in, geometry out, as frozen dataclasses of strings. No database, no request, no locale.

A chart is SVG without a viewBox: what stands at a place in time has its ``x`` in %, and its ``y`` in px, so text
stays crisp at any width. Lines and bars are paths in nested ``<svg preserveAspectRatio="none">``, stretched to the full
width, with strokes that don't scale. A diagram is laid out in px.
"""
