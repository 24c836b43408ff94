"""Draws a report of the terminal as a picture, in SVG: the report comes in, with its colours, and the SVG goes out.

    python example/manage.py stockandflow report membership --force-color \
        | python scripts/report_picture.py > docs/images/report.svg

Every word has its place and its width, and bars and rules are drawn, so the picture is the same in any font. It has a
ground of its own and follows the reader's choice of light or dark.
"""  # noqa: INP001

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import escape

COMMAND = "$ python manage.py stockandflow report membership"
PARTS = 5
"""How many of the report's parts are drawn: the title, the ledger, the notes and the first two stocks."""

COLUMN, ROW, MARGIN = 8.4, 20, 24
"""Pixels: of one character's width, of a line's height, and around it all."""

STYLES = {"1": "heading", "36": "in", "33": "out", "33;1": "warning"}
"""What Django's styles write into a terminal → the class in the picture."""

EIGHTHS = "▏▎▍▌▋▊▉█"

STYLESHEET = """
svg { color-scheme: light dark }
.ground { fill: #fff; stroke: #dde4ea }
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #17212b }
.heading { font-weight: 700 }
.command { fill: #566473 }
.rule { stroke: #b9c4cd }
.warning { fill: #8a5200; font-weight: 700 }
rect.in { fill: #0b7a89 }
rect.out { fill: #c05a26 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #12171c; stroke: #2d353e }
  text { fill: #e4eaf0 }
  .command { fill: #a4b1bd }
  .rule { stroke: #4a5661 }
  .warning { fill: #f5c76a }
  rect.in { fill: #45b9c6 }
  rect.out { fill: #e0824b }
}
"""


def runs(line: str) -> Iterator[tuple[int, str, str]]:
    """The words of one line: (column, text, class), without the blanks between."""
    column, style = 0, ""
    for piece in re.split(r"(\x1b\[[\d;]*m)", line):
        if code := re.fullmatch(r"\x1b\[([\d;]*)m", piece):
            style = STYLES.get(code[1], "")
            continue
        for found in re.finditer(rf"[{EIGHTHS}]+|─+|[^\s{EIGHTHS}─]+(?: [^\s{EIGHTHS}─]+)*", piece):
            yield column + found.start(), found[0], style
        column += len(piece)


def drawn(column: int, row: int, text: str, style: str) -> str:
    """One run as an element of the picture."""
    left, middle = MARGIN + column * COLUMN, MARGIN + (row + 0.5) * ROW
    width = len(text) * COLUMN
    if text[0] in EIGHTHS:
        eighths = sum(EIGHTHS.index(sign) + 1 for sign in text)
        return f'<rect class="{style}" x="{left:g}" y="{middle - 6:g}" width="{eighths / 8 * COLUMN:.4g}" height="12"/>'
    if text[0] == "─":
        return f'<line class="rule" x1="{left:g}" y1="{middle:g}" x2="{left + width:g}" y2="{middle:g}"/>'
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{left:g}" y="{middle + 5:g}" textLength="{width:g}">{escape(text)}</text>'


def picture(report: str) -> str:
    """The first parts of a report as an SVG document."""
    parts = report.strip("\n").split("\n\n")[:PARTS]
    lines = [COMMAND, "", *"\n\n".join(parts).split("\n")]
    width = max(column + len(text) for line in lines for column, text, _ in runs(line)) * COLUMN + 2 * MARGIN
    height = len(lines) * ROW + 2 * MARGIN
    elements = [
        drawn(column, row, text, style if row else "command")
        for row, line in enumerate(lines)
        for column, text, style in runs(line)
    ]
    size = f'width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(COMMAND)}</title>",
            f"<style>{STYLESHEET}</style>",
            f'<rect class="ground" x=".5" y=".5" width="{width - 1:g}" height="{height - 1}" rx="10"/>',
            *elements,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read()))
