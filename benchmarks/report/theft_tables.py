"""The tables of thefts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.record_set import RecordSet
from benchmarks.records import Interval
from benchmarks.report.content import Table
from benchmarks.report.words import NOT_MEASURED, count, number, percent, percent_with_interval, points
from benchmarks.summary import AttackSummary, ClassFidelity, GainSummary

# More classes than these make no columns: a thief's worst are named instead.
_COLUMNS = 8
_WORST = 3


def fidelity_table(attacks: Sequence[AttackSummary], place: str) -> Table:
    """What the thieves reached."""
    rows = [
        (
            *_thief(a),
            count(a.queries),
            f"{len(a.seeds)}",
            percent_with_interval(a.fidelity, a.fidelity_ci),
            beats_random(a),
            percent_with_interval(a.accuracy, a.accuracy_ci),
            percent(a.relative_accuracy),
            percent(a.correct_fidelity),
            number(a.macro_f1_ratio),
        )
        for a in attacks
    ]
    head = (
        "artefact", "pool", "strategy", "answers", "queries", "seeds", "fidelity (95 %)",
        "beats random (points)", "accuracy (95 %)", "relative accuracy", "correct fidelity", "macro-F1 ratio",
    )  # fmt: skip
    return Table(f"What thieves reached on {place}; means over seeds", head, rows, frozenset(range(4, 12)))


def cost_table(held: RecordSet, attacks: Sequence[AttackSummary], place: str) -> Table:
    """What it cost the thieves, and what the victim mostly told them."""
    rows = [
        (
            *_thief(a),
            a.thief_architecture,
            count(a.queries),
            count(a.device_queries),
            number(a.device_seconds),
            number(a.energy_joules),
            number(a.seconds_query),
            number(a.seconds_train),
            _commonest_answer(held, a),
        )
        for a in attacks
    ]
    head = (
        "artefact", "pool", "strategy", "answers", "thief", "queries", "sent to the device",
        "inference on the device, s", "energy of the device, J", "querying, s wall", "training, s wall",
        "commonest answer",
    )  # fmt: skip
    return Table(f"What it cost them on {place}; means over seeds", head, rows, frozenset(range(5, 11)))


def class_table(attacks: Sequence[AttackSummary], class_names: Sequence[str]) -> Table:
    """Fidelity by the victim's class; where there are many classes, those that are copied worst."""
    known = {part.name: part.images for a in attacks for part in a.class_fidelity}
    caption = "Fidelity by the victim's class (95 %), each thief at its largest budget"
    fixed = ("artefact", "pool", "strategy", "answers", "queries")
    if len(class_names) <= _COLUMNS:
        head = (*fixed, *(f"{name} ({known.get(name, 0):,} images)" for name in class_names))
        rows = [(*_thief(a), count(a.queries), *(_class_cell(part) for part in a.class_fidelity)) for a in attacks]
        return Table(caption, head, rows, frozenset(range(4, len(head))))
    rows = []
    for a in attacks:
        worst = sorted((p for p in a.class_fidelity if p.fidelity is not None), key=lambda p: p.fidelity or 0.0)
        cells = [f"{part.name}: {_class_cell(part)}" for part in worst[:_WORST]]
        rows.append((*_thief(a), count(a.queries), *cells, *[NOT_MEASURED] * (_WORST - len(cells))))
    return Table(caption, (*fixed, "copied worst", "second", "third"), rows, frozenset({4}))


def transfer_table(gains: Sequence[GainSummary]) -> Table:
    """Adversarial examples of the copycats, asked of the victim."""
    rows = [
        (
            *_gainer(g),
            f"{point.epsilon:g}/255",
            percent(point.copycat_fooled),
            f"{percent(point.victim_fooled)} ({_range(point.victim_fooled_range)})",
            percent(point.random_noise),
            count(point.queries),
        )
        for g in gains
        for point in g.transfer
    ]
    head = (
        "artefact", "pool", "strategy", "budget, queries", "seeds", "bound", "copycat fooled",
        "victim fooled (lowest–highest seed)", "by as much noise", "queries",
    )  # fmt: skip
    caption = "Adversarial examples made on the copycat: share of images that get another answer; means over seeds"
    return Table(caption, head, rows, frozenset(range(3, 10)))


def understanding_table(gains: Sequence[GainSummary]) -> Table:
    """Saliency and calibration."""
    rows = []
    for g in gains:
        s, c = g.saliency, g.calibration
        rows.append((
            *_gainer(g),
            NOT_MEASURED if s is None else _with_control(s.rank_correlation, s.rank_correlation_control),
            NOT_MEASURED if s is None else f"{percent(s.top_overlap)} ({percent(s.top_overlap_control)})",
            NOT_MEASURED if c is None else f"{number(c.ece_thief)} / {number(c.ece_victim)}",
            NOT_MEASURED if c is None else f"{number(c.brier_thief)} / {number(c.brier_victim)}",
            NOT_MEASURED if c is None else points(c.confidence_difference),
        ))  # fmt: skip
    head = (
        "artefact", "pool", "strategy", "budget, queries", "seeds", "saliency: rank correlation (control)",
        "saliency: top 10 % in common (control)", "calibration error, thief / victim", "Brier score, thief / victim",
        "thief's confidence less the victim's, points",
    )  # fmt: skip
    return Table("Saliency maps and calibration; means over seeds", head, rows, frozenset(range(3, 10)))


def beats_random(attack: AttackSummary) -> str:
    """`yes (+1.2 to +3.4)`, with whom it was compared where that is not plain `random`."""
    if attack.gain_ci is None:
        return NOT_MEASURED
    low, high = (points(bound) for bound in attack.gain_ci)
    against = "" if attack.baseline == "random" else f", against {attack.baseline}"
    return f"{'yes' if attack.beats_random else 'no'} ({low} to {high}{against})"


def _thief(attack: AttackSummary) -> tuple[str, str, str, str]:
    return attack.artifact, attack.pool, attack.name, attack.answers


def _gainer(gain: GainSummary) -> tuple[str, str, str, str, str]:
    return gain.artifact, gain.pool, gain.name, f"{gain.budget:,}", f"{len(gain.seeds)}"


def _class_cell(part: ClassFidelity) -> str:
    return percent_with_interval(part.fidelity, part.fidelity_ci)


def _range(bounds: Interval) -> str:
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def _with_control(value: float, control: float) -> str:
    return f"{value:.2f} ({control:.2f})".replace("-", "−")


def _commonest_answer(held: RecordSet, attack: AttackSummary) -> str:
    """The class that the victim named most often and its share: near 100 %, the queries told the thief little."""
    alike = [record.answer_histogram for record in held.attacks[attack.key] if record.answer_histogram]
    total = np.sum(alike, axis=0) if alike else np.zeros(1)
    if not total.sum():
        return NOT_MEASURED
    return f"{held.class_names[int(total.argmax())]}, {percent(total.max() / total.sum(), 0)}"
