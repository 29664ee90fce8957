"""The figures of a report that are not curves: latency, confusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from benchmarks.report.drawing import (
    INK,
    PALETTE,
    WIDTH,
    Drawing,
    house_style,
    new_figure,
    plain,
    render,
)
from benchmarks.report.words import number
from benchmarks.summary import ArtifactSummary

_NUMBERED_CLASSES = 12
_NOTABLE = 0.05


@house_style()
def latency_bars(artifacts: Sequence[ArtifactSummary], name: str) -> Drawing:
    """Bars to the median, whiskers to the 90th percentile, milliseconds; artefacts of one device."""
    measured = [(a.name, a.latency_us) for a in artifacts if a.latency_us is not None]
    figure = new_figure(1.0 + 0.5 * len(measured))
    axes = figure.subplots()
    p50 = np.array([latency.p50 for _, latency in measured]) / 1000
    p90 = np.array([latency.p90 for _, latency in measured]) / 1000
    places = np.arange(len(measured))
    whiskers = np.stack([np.zeros(len(measured)), p90 - p50])
    axes.barh(places, p50, height=0.55, color=PALETTE[0])
    axes.errorbar(p50, places, xerr=whiskers, fmt="none", ecolor=INK, elinewidth=1.4, capsize=4)
    for place, low, high in zip(places, p50, p90, strict=True):
        axes.annotate(
            number(low), (high, place), (8, 0), textcoords="offset points", va="center", fontsize=10
        )  # fmt: skip
    axes.set_yticks(places, [plain(label, 24) for label, _ in measured])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * float(p90.max()))
    axes.grid(axis="x")
    axes.set_xlabel("latency of one inference, ms: bar and number p50, whisker to p90")
    return render(figure, name)


@house_style()
def confusion(table: NDArray[np.int64], class_names: Sequence[str], rows: str, columns: str, name: str) -> Drawing:
    """Counts, shaded by their share of the row.

    Args:
        table: int64 [classes, classes].
        class_names: of rows and columns alike.
        rows: what the rows are.
        columns: what the columns are.
        name: the figure's name.
    """
    classes = len(class_names)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    # Opaque by share, so that the ground of a light and of a dark page both show through empty cells.
    shaded = np.empty((classes, classes, 4))
    shaded[..., :3], shaded[..., 3] = to_rgb(PALETTE[0]), 0.04 + 0.66 * share
    numbered = classes <= _NUMBERED_CLASSES
    side = min(WIDTH - 2.2, max(3.0, 0.85 * classes)) if numbered else 5.5
    figure = new_figure(side + 0.9, side + 2.2)
    axes = figure.subplots()
    axes.imshow(shaded, interpolation="nearest")
    if numbered:
        axes.set_xticks(range(classes), [plain(label, 12) for label in class_names], fontsize=9)
        axes.set_yticks(range(classes), [plain(label, 16) for label in class_names], fontsize=9)
        if classes > 5:
            axes.tick_params(axis="x", labelrotation=60)
        for (row, column), count in np.ndenumerate(table):
            axes.text(column, row, f"{count:,}", ha="center", va="center")
    axes.tick_params(length=0 if numbered else 3)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(rows)
    axes.set_xlabel(columns)
    return render(figure, name)
