"""The parts of a report that tell of thefts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.record_set import RecordSet
from benchmarks.report import curves, plots, theft_tables, words
from benchmarks.report.content import Picture, Section, Table, drawn
from benchmarks.report.drawing import Drawing
from benchmarks.report.verdict import best_by_pool, largest
from benchmarks.summary import AttackSummary, GainSummary, Summary

# Confusions and marks of more thieves than these tell nobody anything.
_SHOWN = 6


def theft_blocks(
    held: RecordSet, summary: Summary, attacks: Sequence[AttackSummary], number: int, drawings: list[Drawing]
) -> list[Table | Picture]:
    """What thieves reached on one device, and what it cost them.

    Args:
        held: the records.
        summary: their document.
        attacks: those on the device.
        number: of the device in the report; for the figures' names.
        drawings: the figures are added here.
    """
    place = words.place(attacks[0].device, attacks[0].device_kind)
    return [
        *_figures(summary, attacks, number, drawings),
        theft_tables.fidelity_table(attacks, place),
        theft_tables.cost_table(held, attacks, place),
    ]


def copy_section(held: RecordSet, attacks: Sequence[AttackSummary], drawings: list[Drawing]) -> Section:
    """Where copies differ from what they copied: by class for every thief, as confusion for the best of each pool."""
    tops = best_by_pool(attacks)[:_SHOWN]
    names = held.class_names
    blocks: list[Table | Picture] = [theft_tables.class_table(largest(attacks), names)]
    drawing = curves.class_fidelity(tops, "class_fidelity")
    drawings.append(drawing)
    alt = "Fidelity by the victim's class of the best thief of each pool; the numbers are in the table above."
    caption = (
        "Fidelity by the victim's class, best thief of each pool: mean over seeds, whiskers are 95\u00a0% intervals."
    )
    blocks.append(drawn(drawing, alt, caption))
    for number, top in enumerate(tops, start=1):
        blocks.append(_confusion(held, top, names, number, drawings))
    text = (
        "Each thief at its largest budget. Classes are the victim's answers on the test split: a class that it never "
        "named there has no fidelity."
    )
    return Section("copy", "Copies against their victim", (text,), blocks)


def gains_section(gains: Sequence[GainSummary], drawings: list[Drawing]) -> Section:
    """What thieves gain beyond labels."""
    blocks: list[Table | Picture] = []
    paragraphs: list[str] = []
    transferred = [gain for gain in gains if gain.transfer]
    if transferred:
        paragraphs.append(
            "Adversarial examples are made on the copycat alone and put to the victim: fooled is who gives another "
            "class than the victim gave the clean image. The control changes every pixel as much, by random signs."
        )
        budgets = {gain.series: max(g.budget for g in transferred if g.series == gain.series) for gain in transferred}
        shown = [gain for gain in transferred if gain.budget == budgets[gain.series]]
        drawing = curves.transfer(shown, "transfer")
        drawings.append(drawing)
        alt = "Share of images that fool the victim by bound; the numbers are in the table below."
        caption = "Whiskers are the lowest and the highest seed; dotted, in the same colour, as much random noise."
        blocks += [drawn(drawing, alt, caption), theft_tables.transfer_table(transferred)]
    understood = [gain for gain in gains if gain.saliency is not None or gain.calibration is not None]
    if understood:
        paragraphs.append(
            "Saliency maps are compared with the victim's; the control is the higher of two: an untrained network of "
            "the thief's architecture, and the thief's maps of other images. Calibration errors near each other let a "
            "thief trust its copy's confidence as the victim's."
        )
        blocks.append(theft_tables.understanding_table(understood))
    return Section("gains", "What thieves gain beyond labels", paragraphs, blocks)


def _figures(summary: Summary, attacks: Sequence[AttackSummary], number: int, drawings: list[Drawing]) -> list[Picture]:
    """Budget curves: a figure for each answer policy and thief's architecture, or for each pool of many strategies."""
    figures: list[Picture] = []
    place = words.place(attacks[0].device, attacks[0].device_kind)
    strategies = sorted({attack.name for attack in summary.attacks})
    accuracy = {
        a.name: a.accuracy_on_device
        for a in summary.artifacts
        if a.device == attacks[0].device and a.accuracy_on_device is not None
    }
    for own in _panels(attacks):
        drawing = curves.theft(own, strategies, summary.victim, accuracy, f"theft_{number}_{len(figures) + 1}")
        drawings.append(drawing)
        reached = [
            f"{a.artifact}, {a.name}, {a.pool}, {words.count(a.queries)} queries: {words.percent(a.fidelity)}"
            for a in own
        ]
        figures.append(drawn(drawing, f"Fidelity reached on {place}. {'; '.join(reached)}.", _caption(own)))
    return figures


def _panels(attacks: Sequence[AttackSummary]) -> list[list[AttackSummary]]:
    """What stands in one figure: pools side by side, unless several thieves tried one of them."""
    panels = []
    for answers, architecture in dict.fromkeys((a.answers, a.thief_architecture) for a in attacks):
        own = [a for a in attacks if (a.answers, a.thief_architecture) == (answers, architecture)]
        thieves = {(a.artifact, a.pool, a.name) for a in own}
        pools = list(dict.fromkeys((a.artifact, a.pool) for a in own))
        if len(thieves) == len(pools):
            panels.append(own)
        else:
            panels += [[a for a in own if (a.artifact, a.pool) == pool] for pool in pools]
    return panels


def _caption(attacks: Sequence[AttackSummary]) -> str:
    pools = {attack.pool for attack in attacks}
    caption = (
        f"Theft through “{attacks[0].answers}” answers by a thief of architecture {attacks[0].thief_architecture}"
        f"{f', pool {pools.pop()}' if len(pools) == 1 else ''}: "
        "mean over seeds, whiskers are 95\u00a0% intervals over seeds and test images. Dashed lines: “chance” names "
        "classes by lot, “one class” (where that is notably more) always names the most frequent one, “victim” is the "
        "attacked model itself."
    )
    if any(attack.strategy == "random" for attack in attacks) and len({attack.name for attack in attacks}) > 1:
        caption += " The baseline, in the colour of the text with a shaded interval, asks at random."
    budgets = {attack.budget for attack in attacks}
    if len(budgets) > 1:
        return caption + " Marks of one budget stand a little apart, to be readable."
    return caption + f" Every thief had a budget of {budgets.pop():,} queries."


def _confusion(
    held: RecordSet, thief: AttackSummary, names: Sequence[str], number: int, drawings: list[Drawing]
) -> Picture:
    """How a thief differs from what it copied, all its seeds together."""
    table = np.zeros((len(names), len(names)), np.int64)
    for attack in held.attacks[thief.key]:
        np.add.at(table, (held.reference(attack, thief.key), np.asarray(attack.thief_predictions)), 1)
    drawing = plots.confusion(
        table, names, "class that the victim names", "class that the thief names", f"confusion_thief_{number}"
    )
    drawings.append(drawing)
    caption = (
        f"The best thief of pool {thief.pool}: {thief.artifact}, strategy {thief.name}, “{thief.answers}” answers, "
        f"{words.count(thief.queries)} queries, {len(thief.seeds)} seed{'s' if len(thief.seeds) > 1 else ''} together. "
        "Test images by the victim's and the thief's answer: counts, shaded by their share of the row."
    )
    alt = f"Confusion of the best thief of pool {thief.pool} with its victim. {worst_confusion(table, names)}"
    return drawn(drawing, alt, caption)


def worst_confusion(table: NDArray[np.int64], names: Sequence[str]) -> str:
    """The largest number off the diagonal of int64 [classes, classes], in words."""
    wrong = table * (1 - np.eye(len(names), dtype=np.int64))
    if not wrong.sum():
        return "Nothing is confused."
    row, column = divmod(int(wrong.argmax()), len(names))
    return f"Most often confused: {names[row]} with {names[column]}, {wrong[row, column]:,} times."
