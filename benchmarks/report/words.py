"""Numbers and findings in words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

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


def points(share: float) -> str:
    """A difference of shares, with its sign: `+1.2`, `−0.4`."""
    return f"{100 * share:+.1f}".replace("-", "−")


def count(value: float) -> str:
    """`4,000`, or `3,998.7` for a mean that is not whole."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def short_count(value: float) -> str:
    """For axes and legends: `250`, `16 k`, `1.5 k`, `1 M`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}\u00a0{unit}"
    return f"{value:.3g}"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


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
    return found + _about_one_class(attacks)


def _about_one_class(attacks: Sequence[AttackSummary]) -> list[str]:
    """A victim that answers one class only can be copied by naming it, and teaches nothing else."""
    found = [
        f"On the test split {artifact} named one class only: agreeing with it there takes no theft."
        for artifact in dict.fromkeys(
            a.artifact
            for a in attacks
            if len(a.class_fidelity) > 1 and sum(c.images > 0 for c in a.class_fidelity) == 1
        )
    ]
    thieves = [f"{a.name} on {a.pool} ({count(a.queries)} queries)" for a in attacks if a.answered_classes == 1]
    if thieves:
        found.append(f"The victim answered one class only to all queries of {listing(thieves)}: they taught no other.")
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
    if artifact.validity is not None and False in (artifact.validity.min_runs_met, artifact.validity.min_seconds_met):
        found.append(f"The latency of {artifact.name} on {artifact.device} rests on fewer runs than were asked for.")
    return found


def alarms(raised_at: Sequence[int | None]) -> str:
    """Queries until a detector's alarm: the median of the thieves that set it off, and how many never did."""
    raised = [alarm for alarm in raised_at if alarm is not None]
    if not raised:
        return "never"
    missed = len(raised_at) - len(raised)
    return count(median(raised)) + (f" (never for {missed} of {len(raised_at)})" if missed else "")
