"""The figure of a history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from benchmarks.comparison.history import Line
from benchmarks.report.drawing import INK, MARKERS, PALETTE, Drawing, house_style, new_figure, plain, render


@house_style()
def plot(lines: Sequence[Line], name: str) -> Drawing:
    """p50 by run, one panel for each artefact and device, lowest and highest process as a band, change points ringed.

    Runs stand at equal distances, in the order of their dates: between two measurements no time passes for latency.

    Args:
        lines: of one kind of device, at least one.
        name: of the drawing.
    """
    figure = new_figure(0.6 + 1.9 * len(lines))
    panels = figure.subplots(len(lines), 1, squeeze=False)
    for axes, line, row in zip(panels[:, 0], lines, range(len(lines)), strict=True):
        _panel(axes, line, row)
    return render(figure, name)


def _panel(axes: Axes, line: Line, row: int) -> None:
    places = np.arange(len(line.points))
    middle = np.array([point.p50_us for point in line.points])
    low = np.array([point.low_us for point in line.points])
    high = np.array([point.high_us for point in line.points])
    colour = PALETTE[row % len(PALETTE)]
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(places, middle, color=colour, marker=MARKERS[row % len(MARKERS)], markersize=5, linewidth=1.4)
    for place, point in zip(places, line.points, strict=True):
        if point.changed and point.change is not None:
            axes.plot([place], [point.p50_us], "o", markersize=13, markerfacecolor="none", markeredgecolor=INK)
            axes.annotate(
                f"{100 * point.change:+.0f} %", (place, point.p50_us), (0, 9), textcoords="offset points", ha="center"
            )  # fmt: skip
    axes.set_title(plain(f"{line.artifact} · {line.device}"))
    axes.set_ylabel("p50, µs")
    step = max(1, -(-len(places) // 6))
    axes.set_xticks(places[::step], [f"{point.created:%m-%d %H:%M}" for point in line.points[::step]])
    spread = max(float(high.max() - low.min()), 0.05 * float(middle.mean()))
    axes.set_ylim(max(0.0, float(low.min()) - 0.2 * spread), float(high.max()) + 0.35 * spread)
    axes.grid(axis="y")
