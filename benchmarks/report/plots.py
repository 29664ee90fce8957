"""The figures of a report: latency, theft, confusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from benchmarks.report.drawing import (
    DASHES,
    INK,
    MARKERS,
    PALETTE,
    WIDTH,
    Drawing,
    house_style,
    new_figure,
    percent_axis,
    plain,
    reference_line,
    render,
)
from benchmarks.report.words import number
from benchmarks.summary import ArtifactSummary, AttackSummary, VictimSummary

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
def theft(
    attacks: Sequence[AttackSummary], victim: VictimSummary | None, accuracy: dict[str, float], name: str
) -> Drawing:
    """Fidelity and the thief's accuracy against queries, or side by side where there is only one budget.

    Args:
        attacks: thieves on one device under one answer policy; a row of panels for each artefact.
        victim: gives the levels that need no theft.
        accuracy: each attacked artefact's own accuracy on the device.
        name: the figure's name.
    """
    artifacts = list(dict.fromkeys(attack.artifact for attack in attacks))
    series = list(dict.fromkeys(_series(attack) for attack in attacks))
    curve = len({attack.budget for attack in attacks}) > 1
    height = 2.9 if curve else 1.0 + 0.42 * len(series)
    figure = new_figure(height * len(artifacts) + (0.6 if curve else 0.1))
    grid = figure.subplots(len(artifacts), 2, sharey="row", squeeze=False)
    for row, artifact in zip(grid, artifacts, strict=True):
        own = [attack for attack in attacks if attack.artifact == artifact]
        draw = _curves if curve else _dots
        draw(row[0], own, series, "fidelity")
        draw(row[1], own, series, "accuracy")
        row[0].set_title(f"{plain(artifact)}: fidelity", pad=18 if not curve else None)
        row[1].set_title("thief's accuracy", pad=18 if not curve else None)
        if victim is not None:
            _references(row, own, victim, "y" if curve else "x")
        if artifact in accuracy:
            reference_line(row[1], accuracy[artifact], "victim", "y" if curve else "x")
    if curve:
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(series)))
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


def _series(attack: AttackSummary) -> str:
    return f"{attack.strategy}, {attack.pool}"


def _value(attack: AttackSummary, what: str) -> tuple[float, tuple[float, float]]:
    """The mean and its interval's distances below and above."""
    mean = attack.fidelity if what == "fidelity" else attack.accuracy
    low, high = (attack.fidelity_ci if what == "fidelity" else attack.accuracy_ci) or (mean, mean)
    return mean, (max(0.0, mean - low), max(0.0, high - mean))


def _curves(axes: Axes, attacks: Sequence[AttackSummary], series: Sequence[str], what: str) -> None:
    budgets = sorted({attack.budget for attack in attacks})
    for place, label in enumerate(series):
        own = sorted((a for a in attacks if _series(a) == label), key=lambda a: a.queries)
        values = [_value(attack, what) for attack in own]
        # Moved apart sideways by a few per cent, so that intervals of one budget can be told apart.
        aside = 1.03 ** (place - (len(series) - 1) / 2)
        axes.errorbar(
            [attack.queries * aside for attack in own],
            [mean for mean, _ in values],
            yerr=np.array([distance for _, distance in values]).reshape(-1, 2).T,
            color=PALETTE[place % len(PALETTE)],
            marker=MARKERS[place % len(MARKERS)],
            linestyle=DASHES[place // len(PALETTE) % len(DASHES)],
            markersize=5.5,
            elinewidth=1.2,
            capsize=3,
            label=plain(label),
        )
    axes.set_xscale("log")
    if len(budgets) <= 6:
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.minorticks_off()
    axes.set_ylim(0, 1.04)
    axes.grid(axis="y")
    axes.set_xlabel("queries")
    percent_axis(axes, "y")
    axes.tick_params(labelleft=True)


def _dots(axes: Axes, attacks: Sequence[AttackSummary], series: Sequence[str], what: str) -> None:
    for attack in attacks:
        place = series.index(_series(attack))
        mean, distances = _value(attack, what)
        axes.errorbar(
            mean,
            place,
            xerr=np.array(distances)[:, None],
            color=PALETTE[place % len(PALETTE)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=5.5,
            elinewidth=1.6,
            capsize=4,
        )
        axes.annotate(f"{100 * mean:.1f}", (mean, place), (0, 7), textcoords="offset points", ha="center", fontsize=9.5)
    axes.set_yticks(range(len(series)), [plain(label, 22) for label in series])
    axes.set_ylim(len(series) - 0.4, -0.7)
    axes.set_xlim(0, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x")
    percent_axis(axes, "x")


def _references(row: Sequence[Axes], attacks: Sequence[AttackSummary], victim: VictimSummary, which: str) -> None:
    """What naming classes by lot reaches, and always naming one class where that is notably more."""
    for axes, always in zip(row, (attacks[0].most_frequent, victim.most_frequent), strict=True):
        reference_line(axes, victim.chance, "chance", which)
        if always > victim.chance + _NOTABLE:
            reference_line(axes, always, "one class", which, "start")
