"""The figures of the choice between artefacts: accuracy against cost, and how faithfully each is copied."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.report.drawing import (
    LINE,
    Drawing,
    house_style,
    legend,
    mark,
    new_figure,
    percent_axis,
    plain,
    render,
)
from benchmarks.report.words import number
from benchmarks.summary import ArtifactSummary, AttackSummary


@house_style()
def scatter(artifacts: Sequence[ArtifactSummary], front: set[str], name: str) -> Drawing:
    """Accuracy against median latency and against size; the front of each panel is joined.

    Args:
        artifacts: measured on one device.
        front: names of those that are drawn filled.
        name: the figure's name.
    """
    figure = new_figure(3.0 + 0.22 * math.ceil(len(artifacts) / 4))
    axes = figure.subplots(1, 2, sharey=True)
    milliseconds = [a.latency_us.p50 / 1000 if a.latency_us is not None else math.nan for a in artifacts]
    kilobytes = [a.bytes / 1000 for a in artifacts]
    accuracy = [a.accuracy_on_device or 0.0 for a in artifacts]
    for panel, cost, label in zip(
        axes, (milliseconds, kilobytes), ("latency of one inference, p50, ms", "size of the file, kB"), strict=True
    ):
        _joined(panel, cost, accuracy)
        for place, artifact in enumerate(artifacts):
            style = mark(place) | {"linestyle": "none", "markersize": 8}
            if artifact.name not in front:
                style["markerfacecolor"] = "none"
            panel.errorbar(cost[place], accuracy[place], **style, label=plain(artifact.name))
        _logarithmic(panel)
        panel.set_xlabel(label)
        panel.grid(axis="y")
    axes[0].set_ylabel("accuracy on the device")
    percent_axis(axes[0], "y")
    legend(figure, axes[0])
    return render(figure, name)


@house_style()
def stolen(thieves: Sequence[Sequence[AttackSummary]], name: str) -> Drawing:
    """Fidelity by attacked artefact, a mark for each thief.

    Args:
        thieves: for each, its results on several artefacts.
        name: the figure's name.
    """
    rows = list(dict.fromkeys(attack.artifact for own in thieves for attack in own))
    step = 0.6 / len(thieves)
    figure = new_figure(1.1 + 0.34 * len(rows) * max(1.0, 0.5 * len(thieves)))
    axes = figure.subplots()
    for place, own in enumerate(thieves):
        means = np.array([attack.fidelity for attack in own])
        bounds = np.array([attack.fidelity_ci for attack in own]).T
        heights = [rows.index(attack.artifact) + (place - (len(thieves) - 1) / 2) * step for attack in own]
        label = plain(f"{own[0].pool}: {own[0].name}, {own[0].budget:,} queries")
        style = mark(place) | {"linestyle": "none"}
        axes.errorbar(means, heights, xerr=np.abs(bounds - means), **style, label=label)
    axes.set_yticks(range(len(rows)), [plain(row, 30) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.set_xlabel("fidelity of the thief")
    percent_axis(axes, "x")
    legend(figure, axes)
    return render(figure, name)


def _joined(axes: Axes, cost: Sequence[float], worth: Sequence[float]) -> None:
    """A step through the points that no cheaper one is better than."""
    best = -math.inf
    corners: list[tuple[float, float]] = []
    for x, y in sorted(zip(cost, worth, strict=True), key=lambda point: (point[0], -point[1])):
        if y > best:
            corners.append((x, y))
            best = y
    axes.plot(*zip(*corners, strict=True), drawstyle="steps-post", color=LINE, linewidth=2.0, zorder=0)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [t for t in _round_numbers(low) if low <= t <= high]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(_told))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _round_numbers(low: float) -> list[float]:
    """1, 2, 5, 10, … from the decade of `low` on, six decades of them."""
    first = math.floor(math.log10(low))
    return [digit * 10.0**power for power in range(first, first + 6) for digit in (1, 2, 5)]


def _told(value: float, _: object = None) -> str:
    return number(value, 1)
