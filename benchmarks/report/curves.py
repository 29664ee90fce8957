"""The figures of thefts: budget curves, fidelity by class, adversarial examples that transfer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.report.drawing import (
    INK,
    Drawing,
    house_style,
    legend,
    mark,
    new_figure,
    percent_axis,
    plain,
    reference_line,
    render,
)
from benchmarks.report.words import short_count
from benchmarks.summary import AttackSummary, GainSummary, VictimSummary

_NOTABLE = 0.05
# Two labels of a logarithmic axis need this share of its length between them.
_LABEL_GAP = 0.085
_CLASSES = 20


@house_style()
def theft(
    attacks: Sequence[AttackSummary],
    strategies: Sequence[str],
    victim: VictimSummary | None,
    accuracy: dict[str, float],
    name: str,
) -> Drawing:
    """Fidelity and the thief's accuracy against queries, or side by side where there is only one budget.

    Thieves that asked at random are the baseline, in the ink's colour, where they stand beside others of their pool.

    Args:
        attacks: thieves on one device under one answer policy; a row of panels for each artefact.
        strategies: names of all thieves of the report: a thief has the same colour in every figure.
        victim: gives the levels that need no theft.
        accuracy: each attacked artefact's own accuracy on the device.
        name: the figure's name.
    """
    artifacts = list(dict.fromkeys(attack.artifact for attack in attacks))
    styles = _styles(attacks, strategies)
    curve = len({attack.budget for attack in attacks}) > 1
    height = (2.9 if len(styles) <= 6 else 3.8) if curve else 1.0 + 0.42 * len(styles)
    figure = new_figure(height * len(artifacts) + (0.3 + 0.22 * math.ceil(len(styles) / 4) if curve else 0.1))
    grid = figure.subplots(len(artifacts), 2, sharey="row", squeeze=False)
    for row, artifact in zip(grid, artifacts, strict=True):
        own = [attack for attack in attacks if attack.artifact == artifact]
        for axes, what in zip(row, ("fidelity", "accuracy"), strict=True):
            (_curves if curve else _dots)(axes, own, styles, what)
        pools = {attack.pool for attack in own}
        where = f", {plain(next(iter(pools)))}" if len(pools) == 1 else ""
        row[0].set_title(f"{plain(artifact)}{where}: fidelity", pad=18 if not curve else None)
        row[1].set_title("thief's accuracy", pad=18 if not curve else None)
        if victim is not None:
            _references(row, own, victim, "y" if curve else "x")
        if artifact in accuracy:
            reference_line(row[1], accuracy[artifact], "victim", "y" if curve else "x")
        if curve:
            row[0].set_ylim(_floor(own, victim), 1.04)
    if curve:
        legend(figure, grid[0][0])
    return render(figure, name)


@house_style()
def class_fidelity(attacks: Sequence[AttackSummary], name: str) -> Drawing:
    """Agreement by the victim's class, one mark for each thief; of many classes the twenty that are copied worst.

    Args:
        attacks: a few thieves of one victim, told apart by pool.
        name: the figure's name.
    """
    by_class = [{part.name: part for part in a.class_fidelity if part.fidelity is not None} for a in attacks]
    found = {part.name for own in by_class for part in own.values()}
    classes = [part.name for part in attacks[0].class_fidelity if part.name in found]
    lowest = {c: min(own[c].fidelity or 0.0 for own in by_class if c in own) for c in classes}
    kept = sorted(classes, key=lambda c: lowest[c])[:_CLASSES] if len(classes) > _CLASSES else classes
    step = 0.7 / max(1, len(attacks))
    figure = new_figure(1.0 + len(kept) * max(0.3, 0.16 * len(attacks)) + 0.22 * math.ceil(len(attacks) / 3))
    axes = figure.subplots()
    for number, (attack, own) in enumerate(zip(attacks, by_class, strict=True)):
        shown = [(place, own[c]) for place, c in enumerate(kept) if c in own]
        means = np.array([part.fidelity for _, part in shown], np.float64)
        bounds = np.array([part.fidelity_ci for _, part in shown], np.float64).reshape(-1, 2)
        axes.errorbar(
            means,
            [place + (number - (len(attacks) - 1) / 2) * step for place, _ in shown],
            xerr=np.abs(bounds.T - means),
            **(mark(number) | {"linestyle": "none"}),
            label=plain(f"{attack.pool}: {attack.name}, {short_count(attack.queries)}"),
        )
    axes.set_yticks(range(len(kept)), [plain(c, 30) for c in kept])
    axes.set_ylim(len(kept) - 0.5, -0.5)
    axes.set_xlim(
        _tenth_below([part.fidelity_ci[0] for own in by_class for part in own.values() if part.fidelity_ci]), 1.02
    )
    axes.grid(axis="x")
    axes.set_xlabel("fidelity on the test images that the victim puts into the class")
    percent_axis(axes, "x")
    legend(figure, axes)
    return render(figure, name)


@house_style()
def transfer(gains: Sequence[GainSummary], name: str) -> Drawing:
    """Share of images whose answer changes, against the bound: by adversarial examples, and by noise (dotted)."""
    figure = new_figure(3.6 + 0.22 * math.ceil(len(gains) / 3))
    axes = figure.subplots()
    pools = len({gain.pool for gain in gains}) > 1
    for number, gain in enumerate(gains):
        bounds = [point.epsilon for point in gain.transfer]
        fooled = np.array([point.victim_fooled for point in gain.transfer])
        spread = np.array([point.victim_fooled_range for point in gain.transfer]).T
        style = mark(number)
        label = plain(gain.name + (f", {gain.pool}" if pools else ""))
        axes.errorbar(bounds, fooled, yerr=np.abs(spread - fooled), **style, label=label)
        noise = [point.random_noise for point in gain.transfer]
        axes.plot(bounds, noise, linestyle=":", color=style["color"], marker=style["marker"], markersize=3)
    axes.errorbar([], [], linestyle=":", color=INK, label="as much noise (control)")
    epsilons = sorted({point.epsilon for gain in gains for point in gain.transfer})
    if len(epsilons) <= 12:
        axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.set_ylim(0, 1.04)
    axes.grid(axis="y")
    axes.set_xlabel("bound of the change of a pixel, in 1/255")
    axes.set_ylabel("victim fooled")
    percent_axis(axes, "y")
    legend(figure, axes)
    return render(figure, name)


def _styles(attacks: Sequence[AttackSummary], strategies: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """How each thief of a figure is drawn, by name and pool; the baseline first."""
    thieves = list(dict.fromkeys((attack.name, attack.pool) for attack in attacks))
    pools = [pool for _, pool in thieves]
    styles: dict[tuple[str, str], dict[str, Any]] = {}
    for thief, pool in sorted(thieves, key=lambda thief: (not _is_random(thief[0]), thief)):
        label = plain(f"{thief}, {pool}" if len(set(pools)) > 1 else thief)
        if _is_random(thief) and pools.count(pool) > 1:
            again = sum(_is_random(other) for other, _ in styles)
            line = ("-", "--")[again % 2]
            styles[thief, pool] = {"color": INK, "marker": "o", "markerfacecolor": "none", "linestyle": line}
            styles[thief, pool] |= {"linewidth": 2.2, "label": f"{label} (baseline)", "markersize": 6, "zorder": 5}
        else:
            place = list(strategies).index(thief) if len(set(pools)) == 1 else thieves.index((thief, pool))
            styles[thief, pool] = {**mark(place), "label": label}
    return styles


def _is_random(thief: str) -> bool:
    return thief.split(" (")[0] == "random"


def _value(attack: AttackSummary, what: str) -> tuple[float, tuple[float, float]]:
    """The mean and its interval's distances below and above."""
    mean = attack.fidelity if what == "fidelity" else attack.accuracy
    low, high = (attack.fidelity_ci if what == "fidelity" else attack.accuracy_ci) or (mean, mean)
    return mean, (max(0.0, mean - low), max(0.0, high - mean))


def _curves(
    axes: Axes, attacks: Sequence[AttackSummary], styles: dict[tuple[str, str], dict[str, Any]], what: str
) -> None:
    # Moved apart sideways by a few per cent, so that intervals of one budget can be told apart.
    step = min(1.03, 1.25 ** (1 / len(styles)))
    for place, (thief, style) in enumerate(styles.items()):
        own = sorted((a for a in attacks if (a.name, a.pool) == thief), key=lambda a: a.queries)
        aside = step ** (place - (len(styles) - 1) / 2)
        queries = np.array([max(attack.queries, 1) * aside for attack in own])
        values = [_value(attack, what) for attack in own]
        means = np.array([mean for mean, _ in values])
        below, above = np.array([distances for _, distances in values]).reshape(-1, 2).T
        if style["color"] == INK:
            axes.fill_between(queries, means - below, means + above, color=INK, alpha=0.1, linewidth=0)
            axes.plot(queries, means, **style)
        else:
            axes.errorbar(queries, means, yerr=(below, above), **style)
    axes.set_xscale("log")
    _count_ticks(axes, sorted({attack.budget for attack in attacks}))
    axes.grid(axis="y")
    axes.set_xlabel("queries")
    percent_axis(axes, "y")
    axes.tick_params(labelleft=True)


def _count_ticks(axes: Axes, counts: Sequence[int]) -> None:
    """A tick at each count of a logarithmic axis, and a label where there is room for it; always at the last."""
    places = np.log10(np.maximum(counts, 1))
    gap = _LABEL_GAP * max(np.ptp(places), 1e-9)
    labels = {len(counts) - 1}
    for place in reversed(range(len(counts) - 1)):
        if places[min(labels)] - places[place] >= gap:
            labels.add(place)
    axes.xaxis.set_major_locator(FixedLocator([float(max(count, 1)) for count in counts]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([short_count(count) if place in labels else "" for place, count in enumerate(counts)])
    axes.tick_params(axis="x", labelsize=9)


def _dots(
    axes: Axes, attacks: Sequence[AttackSummary], styles: dict[tuple[str, str], dict[str, Any]], what: str
) -> None:
    rows = list(styles)
    for attack in attacks:
        place = rows.index((attack.name, attack.pool))
        mean, distances = _value(attack, what)
        axes.errorbar(mean, place, xerr=np.array(distances)[:, None], **styles[rows[place]])
        axes.annotate(f"{100 * mean:.1f}", (mean, place), (0, 7), textcoords="offset points", ha="center", fontsize=9.5)
    axes.set_yticks(range(len(rows)), [plain(style["label"], 22) for style in styles.values()])
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlim(0, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x")
    percent_axis(axes, "x")


def _floor(attacks: Sequence[AttackSummary], victim: VictimSummary | None) -> float:
    """Where the curves' axis may begin: a whole tenth below everything that is drawn."""
    lows = [low for a in attacks for low in (a.fidelity_ci[0], a.accuracy - _value(a, "accuracy")[1][0])]
    if victim is not None:
        lows.append(victim.chance)
    return _tenth_below(lows)


def _tenth_below(values: Sequence[float]) -> float:
    return max(0.0, math.floor(10 * min(values) - 0.5) / 10)


def _references(row: Sequence[Axes], attacks: Sequence[AttackSummary], victim: VictimSummary, which: str) -> None:
    """What naming classes by lot reaches, and always naming one class where that is notably more."""
    for axes, always in zip(row, (attacks[0].most_frequent, victim.most_frequent), strict=True):
        reference_line(axes, victim.chance, "chance", which)
        if always > victim.chance + _NOTABLE:
            reference_line(axes, always, "one class", which, "start")
