"""How figures look, and how one figure becomes an SVG file, a PNG file and SVG within a page."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 8.0  # inches
# Okabe and Ito's colours for every kind of sight, without yellow (too faint on white) and black (it is the ink).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
# Colours that a page may put its own in place of, so that a figure follows the reader's light or dark mode.
INK, LINE, PAPER = "#1c2127", "#c8cdd3", "#fefefe"
_OF_PAGE = {INK: "currentColor", LINE: "var(--line)", PAPER: "none"}

# Keys as matplotlib names them; its own type for them is closed and differs between versions.
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    # Class names are the user's: a dollar is a dollar.
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    # Text stays text: it can be selected, searched and read aloud.
    "svg.fonttype": "none",
    "svg.hashsalt": "edgecat",
}


@dataclass(frozen=True)
class Drawing:
    """One figure in the three forms that a report needs.

    Attributes:
        name: its file name without suffix; letters, digits, `_` and `-`.
        svg: a file's content, with a white ground.
        png: a file's content, 150 dots per inch.
        inline: an `<svg>` element without ground, in the page's own colours.
    """

    name: str
    svg: str
    png: bytes
    inline: str


@contextmanager
def house_style() -> Iterator[None]:
    """The figures' style, for the length of a `with` block (or of a function it decorates)."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of `width` by `height` inches, known to no global state."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.07))
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, name: str) -> Drawing:
    """Draw a figure. The same figure gives the same bytes."""
    svg, png = StringIO(), BytesIO()
    nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
    with warnings.catch_warnings():
        # Names in a script that matplotlib's font lacks: boxes in the PNG, but text in the SVG and in every table.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(svg, format="svg", metadata=nothing)
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Drawing(name, svg.getvalue(), png.getvalue(), _inline(svg.getvalue(), name))


def plain(text: str, width: int | None = None) -> str:
    """User's text as matplotlib shall show it: on one line, or wrapped at `width` characters."""
    text = " ".join(text.split())
    if width is not None:
        text = "\n".join(textwrap.wrap(text, width, max_lines=4, placeholder="…"))
    return text


def percent_axis(axes: Axes, which: str) -> None:
    """Ticks of 0 to 1 as 0 to 100 %."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")


def reference_line(axes: Axes, value: float, label: str, which: str, place: str = "end") -> None:
    """A dashed line across the axes at `value`, named at its end (right or top) or its start (left or bottom)."""
    draw, transform = (
        (axes.axhline, axes.get_yaxis_transform()) if which == "y" else (axes.axvline, axes.get_xaxis_transform())
    )
    draw(value, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.5)
    if which == "y":
        x, side = (0.99, "right") if place == "end" else (0.01, "left")
        axes.text(x, value, label, transform=transform, ha=side, va="bottom", fontsize=9)
        return
    y, offset, side = 1, (0, 2), "center"
    if place == "start":
        # Beside the line, on the side that has more room.
        y, offset, side = (0, (4, 2), "left") if value < 0.5 else (0, (-4, 2), "right")
    axes.annotate(
        label, (value, y), offset, xycoords=transform, textcoords="offset points", ha=side, va="bottom", fontsize=9
    )


def mark(place: int) -> dict[str, Any]:
    """Colour, marker and dashes number `place`; 42 pairs of colour and marker."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
        "markersize": 5,
        "linewidth": 1.3,
        "elinewidth": 1.0,
        "capsize": 2.5,
    }


def legend(figure: Figure, axes: Axes) -> None:
    """Below the figure, in as many columns as its names leave room for."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(4, 100 // (max(map(len, labels), default=1) + 8)))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), fontsize=9.5)


def _inline(svg: str, name: str) -> str:
    """The `<svg>` element alone, its identifiers made unique to the page, its colours the page's."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)
    for colour, of_page in _OF_PAGE.items():
        element = element.replace(colour, of_page)
    return element.strip()
