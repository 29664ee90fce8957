"""Numbers and findings in words."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records import Context, DeviceKind, Interval
from benchmarks.summary import ArtifactSummary, AttackSummary, Summary

NOT_MEASURED = "–"
# Runtimes that the exporters bring, so that the host asks them too.
_OF_THE_HOST = ("LiteRT", "ExecuTorch")

CONDITIONS: dict[DeviceKind, str] = {
    "embedded": (
        "The device was embedded: a child process on the host computer that speaks adb. The answers are those of the "
        "real runtime; the times and the memory are the host's and say nothing about a phone."
    ),
    "emulated": (
        "The device was emulated on the host computer. The answers are those of the real runtime; the times and the "
        "memory are the emulation's and say nothing about a phone."
    ),
    "physical": "The device was physical: times and memory are its own, at the clock and temperature that it then had.",
}


def place(device: str, kind: DeviceKind) -> str:
    """`the embedded device`, `the emulated device sandbox:arm64-v8a`."""
    return f"the {kind} device" if device == kind else f"the {kind} device {device}"


def percent(share: float | None, digits: int = 1) -> str:
    """0.873 as `87.3 %`, never broken before the sign."""
    return NOT_MEASURED if share is None else f"{100 * share:.{digits}f}\u00a0%"


def percent_with_interval(share: float | None, interval: Interval | None) -> str:
    """`87.3 % (85.0–89.4)`."""
    if share is None or interval is None:
        return percent(share)
    return f"{percent(share)} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"


def bytes_of(count: int | None) -> str:
    """Bytes in decimal units: `338 kB`, `63.9 MB`."""
    if count is None:
        return NOT_MEASURED
    if count < 1000:
        return f"{count} B"
    value, unit = next((count / s, u) for s, u in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= s)
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def number(value: float | None, digits: int = 3) -> str:
    """To `digits` significant digits, whole from 1,000 on, without an exponent."""
    if value is None:
        return NOT_MEASURED
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def count(value: float) -> str:
    """`4,000`, or `3,998.7` for a mean that is not whole."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def best(attacks: Sequence[AttackSummary]) -> AttackSummary | None:
    """The aggregate with the highest mean fidelity; among equals the one of fewer queries."""
    return max(attacks, key=lambda attack: (attack.fidelity, -attack.queries), default=None)


def verdict(summary: Summary) -> list[str]:
    """What was found, as sentences: what leaked, how that compares with knowing nothing, and with the victim."""
    found = best(summary.attacks)
    if found is None:
        sentences = [_victim_sentence(summary), "No theft was tried, so nothing is known of what leaks."]
    else:
        sentences = [
            _best_sentence(found, len(summary.attacks)),
            _chance_sentence(summary, found),
            _victim_sentence(summary),
            f"The thief is right on {percent_with_interval(found.accuracy, found.accuracy_ci)}: "
            f"{percent(found.relative_accuracy)} of the accuracy of the model that it copied.",
            _pools_sentence(summary.attacks),
        ]
    return [sentence for sentence in sentences if sentence]


def cautions(summary: Summary, context: Context | None) -> list[str]:
    """What weakens the numbers: said before they are shown."""
    found: list[str] = []
    if context is not None and context.quick:
        found.append("This was a quick run: it shows that the road works, not how much leaks at a serious budget.")
    found += _about_attacks(summary.attacks)
    for artifact in {artifact.name: artifact for artifact in summary.artifacts}.values():
        if not artifact.parity.ok:
            found.append(f"{artifact.name} failed its parity gate.")
    for artifact in summary.artifacts:
        found += _about_artifact(artifact)
    of_artifacts = [artifact.device_kind for artifact in summary.artifacts]
    kinds = dict.fromkeys([*of_artifacts, *(attack.device_kind for attack in summary.attacks)])
    return found + [CONDITIONS[kind] for kind in kinds if kind is not None and kind != "physical"]


def _about_attacks(attacks: Sequence[AttackSummary]) -> list[str]:
    found: list[str] = []
    if attacks and (fewest := min(len(attack.seeds) for attack in attacks)) < 3:
        seeds = "one seed" if fewest == 1 else "two seeds"
        found.append(f"Some attacks have only {seeds}: their intervals say little of how thieves vary.")
    if attacks and not any(attack.strategy == "random" for attack in attacks):
        found.append("No thief of this run queried at random, so there is no baseline to hold the others against.")
    return found


def _about_artifact(artifact: ArtifactSummary) -> list[str]:
    found: list[str] = []
    if artifact.labels_compared and artifact.labels_equal != artifact.labels_compared:
        answered = f"{artifact.name} on {artifact.device} answered {artifact.labels_equal:,} of "
        compared = f"{artifact.labels_compared:,} images as the"
        if artifact.engine is None or artifact.engine.startswith(_OF_THE_HOST):
            found.append(f"{answered}{compared} same runtime does in process: they should all be equal.")
        else:
            found.append(f"{answered}{compared} host's runtime does in process: {artifact.engine} computes otherwise.")
    if artifact.validity is not None and not (artifact.validity.min_runs_met and artifact.validity.min_seconds_met):
        found.append(f"The latency of {artifact.name} on {artifact.device} rests on fewer runs than were asked for.")
    return found


def _best_sentence(found: AttackSummary, tried: int) -> str:
    seeds = len(found.seeds)
    of = f", the best of {tried} measured," if tried > 1 else ""
    return (
        f"A thief{of} agrees with {found.artifact} on {percent(found.fidelity)} of test images that were never queried "
        f"(95\u00a0% interval {100 * found.fidelity_ci[0]:.1f}–{100 * found.fidelity_ci[1]:.1f}\u00a0%, "
        f"{seeds} seed{'s' if seeds > 1 else ''}). It put {count(found.queries)} queries of pool {found.pool}, chosen "
        f"by strategy {found.strategy}, to {place(found.device, found.device_kind)}, "
        f"and saw “{found.answers}” answers."
    )


def _chance_sentence(summary: Summary, found: AttackSummary) -> str:
    always = f"always naming the most frequent answer agrees on {percent(found.most_frequent)}"
    if summary.victim is None:
        return f"For comparison: {always}."
    return f"For comparison: naming classes by lot agrees on {percent(summary.victim.chance)}, {always}."


def _victim_sentence(summary: Summary) -> str:
    if (victim := summary.victim) is None:
        return ""
    return (
        f"The victim, {victim.architecture}, is right on "
        f"{percent_with_interval(victim.accuracy, victim.accuracy_ci)} of {victim.images:,} test "
        f"images of {victim.dataset}."
    )


def _pools_sentence(attacks: Sequence[AttackSummary]) -> str:
    """The best of each pool: pools cost the thief different things, so the best of all is not the whole story."""
    pools = list(dict.fromkeys(attack.pool for attack in attacks))
    if len(pools) < 2:
        return ""
    parts = []
    for pool in pools:
        top = max((attack for attack in attacks if attack.pool == pool), key=lambda attack: attack.fidelity)
        parts.append(f"{percent(top.fidelity)} with {pool} ({top.strategy}, {count(top.queries)} queries)")
    return f"Best fidelity by pool: {listing(parts)}."
