"""Which precision on which runtime: what each costs and gains on a device, and whether thieves copy it less well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.record_set import AttackKey, RecordSet
from benchmarks.records import Interval
from benchmarks.report import tradeoffs
from benchmarks.report.content import Picture, Section, Table, drawn
from benchmarks.report.drawing import Drawing
from benchmarks.report.words import (
    NOT_MEASURED,
    bytes_of,
    count,
    listing,
    number,
    percent,
    percent_with_interval,
    points,
)
from benchmarks.statistics import difference_interval
from benchmarks.summary import ArtifactSummary, AttackSummary

# Fewer are no choice.
_CHOICE = 3
# Thieves that are held against each other over the artefacts.
_THIEVES = 3


def precisions_section(
    held: RecordSet,
    artifacts: Sequence[ArtifactSummary],
    attacks: Sequence[AttackSummary],
    place: str,
    number_of_device: int,
    drawings: list[Drawing],
) -> Section | None:
    """The choice between artefacts on one device; None: there is none to make.

    Args:
        held: the records.
        artifacts: those measured on the device.
        attacks: thieves of them.
        place: the device in words.
        number_of_device: in the report; for identifiers.
        drawings: the figures are added here.
    """
    measured = [a for a in artifacts if a.latency_us is not None and a.accuracy_on_device is not None]
    if len(measured) < _CHOICE:
        return None
    thieves = common_thieves(attacks)
    compared = [less_float(held, own) for own in thieves]
    front = {a.name for a in efficient(measured)}
    paragraphs = [_front_sentence(measured, front), *map(_stolen_sentence, thieves, compared)]
    blocks: list[Table | Picture] = [_table(measured, front, thieves, compared, place)]
    drawing = tradeoffs.scatter(measured, front, f"precisions_{number_of_device}")
    drawings.append(drawing)
    alt = f"Accuracy of {len(measured)} artefacts against latency and size on {place}; numbers in the table above."
    blocks.append(drawn(drawing, alt, "Better is up and to the left; the line joins those that no other beats."))
    if thieves:
        drawing = tradeoffs.stolen(thieves, f"stolen_{number_of_device}")
        drawings.append(drawing)
        alt = f"Fidelity of thieves by attacked artefact on {place}; the numbers are in the table above."
        caption = "How faithfully each artefact is copied: mean over seeds, whiskers are 95\u00a0% intervals."
        blocks.append(drawn(drawing, alt, caption))
    return Section(f"precisions-{number_of_device}", f"Which precision, on {place}", paragraphs, blocks)


def efficient(artifacts: Sequence[ArtifactSummary]) -> list[ArtifactSummary]:
    """The Pareto front of file size, median latency and accuracy: those that no other equals in all and beats in one.

    Args:
        artifacts: measured on one device.
    """
    costs = {a.name: _costs(a) for a in artifacts}

    def beaten(name: str) -> bool:
        own = costs[name]
        return any(all(x <= y for x, y in zip(other, own, strict=True)) and other != own for other in costs.values())

    return [a for a in artifacts if not beaten(a.name)]


def common_thieves(attacks: Sequence[AttackSummary]) -> list[list[AttackSummary]]:
    """The same thief against several artefacts, a summary for each: of each pool the best one at its largest budget."""
    groups: dict[AttackKey, list[AttackSummary]] = {}
    for attack in attacks:
        groups.setdefault(attack.key._replace(artifact=""), []).append(attack)
    best: dict[str, list[AttackSummary]] = {}
    for own in groups.values():
        known = best.get(own[0].pool)
        if len(own) > 1 and (known is None or _rank(own) > _rank(known)):
            best[own[0].pool] = own
    return sorted(best.values(), key=_rank, reverse=True)[:_THIEVES]


def less_float(held: RecordSet, own: Sequence[AttackSummary]) -> dict[str, Interval]:
    """How much more faithfully than a float32 file a thief copies others: 95 % intervals by artefact, paired seed by
    seed and image by image. Float32 itself is left out, and what no float32 file was attacked beside."""
    found = {attack.artifact: _less_float(held, own, attack) for attack in own}
    return {name: interval for name, interval in found.items() if interval is not None}


def _less_float(held: RecordSet, own: Sequence[AttackSummary], attack: AttackSummary) -> Interval | None:
    known = held.artifacts
    mine = known.get(attack.artifact)
    if mine is None or mine.precision == "fp32":
        return None
    plain = [
        other
        for other in own
        if other.artifact in known and known[other.artifact].precision == "fp32" and other.seeds == attack.seeds
    ]
    # Of the same runtime if it was attacked.
    plain.sort(key=lambda other: known[other.artifact].runtime != mine.runtime)
    if not plain:
        return None
    return difference_interval(held.hits(attack.key), held.hits(plain[0].key), np.random.default_rng(0))


def _rank(own: Sequence[AttackSummary]) -> tuple[int, int, float]:
    return len(own), own[0].budget, float(np.mean([attack.fidelity for attack in own]))


def _costs(artifact: ArtifactSummary) -> tuple[float, float, float]:
    assert artifact.latency_us is not None
    assert artifact.accuracy_on_device is not None
    return artifact.bytes, artifact.latency_us.p50, -artifact.accuracy_on_device


def _front_sentence(measured: Sequence[ArtifactSummary], front: set[str]) -> str:
    names = listing([a.name for a in measured if a.name in front])
    beaten = [a.name for a in measured if a.name not in front]
    rest = (
        f" {listing(beaten)} {'is' if len(beaten) == 1 else 'are'} no better in any of them than one of these."
        if beaten
        else ""
    )
    return f"In size, median latency and accuracy together no file beats {names}.{rest}"


def _stolen_sentence(own: Sequence[AttackSummary], compared: Mapping[str, Interval]) -> str:
    """Whether a precision makes a model harder to steal, for one thief."""
    thief = f"The thief of pool {own[0].pool} ({own[0].name}, {count(own[0].budget)} queries)"
    if not compared:
        return f"{thief} attacked no float32 file beside others, so nothing is known of what precision changes for it."
    harder = [name for name, (_, high) in compared.items() if high < 0]
    easier = [name for name, (low, _) in compared.items() if low > 0]
    parts = []
    if harder:
        parts.append(f"copies {listing(harder)} less faithfully than float32")
    if easier:
        parts.append(f"copies {listing(easier)} more faithfully than float32")
    alike = [name for name in compared if name not in harder + easier]
    if alike:
        parts.append(f"copies {listing(alike)} as faithfully as float32, as far as this many seeds and images tell")
    return f"{thief} {'; it '.join(parts)} (95\u00a0% intervals, paired over seeds and test images)."


def _table(
    measured: Sequence[ArtifactSummary],
    front: set[str],
    thieves: Sequence[Sequence[AttackSummary]],
    compared: Sequence[Mapping[str, Interval]],
    place: str,
) -> Table:
    head = ["artefact", "on the front", "size", "p50, ms", "p90, ms", "peak memory", "accuracy (95 %)", "same top-1"]
    for own in thieves:
        head += [f"fidelity: {own[0].pool}, {own[0].name}, {count(own[0].budget)}", "less float32's, points"]
    rows = []
    for a in measured:
        assert a.latency_us is not None
        cells = [
            a.name,
            "yes" if a.name in front else "",
            bytes_of(a.bytes),
            number(a.latency_us.p50 / 1000),
            number(a.latency_us.p90 / 1000),
            bytes_of(None if a.memory is None else a.memory.peak_rss_bytes),
            percent_with_interval(a.accuracy_on_device, a.accuracy_on_device_ci),
            percent(a.parity.agreement),
        ]
        pairs = zip(thieves, compared, strict=True)
        rows.append(cells + [cell for own, less in pairs for cell in _theft_cells(own, less, a.name)])
    caption = f"Precisions and runtimes on {place}: cost, worth, and what thieves make of them"
    return Table(caption, head, rows, frozenset(range(2, len(head))))


def _theft_cells(own: Sequence[AttackSummary], less: Mapping[str, Interval], name: str) -> tuple[str, str]:
    attack = next((attack for attack in own if attack.artifact == name), None)
    if attack is None:
        return NOT_MEASURED, NOT_MEASURED
    interval = less.get(name)
    difference = NOT_MEASURED if interval is None else f"{points(interval[0])} to {points(interval[1])}"
    return percent_with_interval(attack.fidelity, attack.fidelity_ci), difference
