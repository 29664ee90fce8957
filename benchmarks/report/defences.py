"""What defences of a deployed model are worth: answer policies, and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from matplotlib.axes import Axes

from benchmarks.records import DetectionReport, PolicyComparison, PolicyResult, WatchedThief
from benchmarks.report.content import Section, Table, drawn
from benchmarks.report.drawing import MARKERS, PALETTE, Drawing, house_style, new_figure, plain, render
from benchmarks.report.words import NOT_MEASURED, alarms, count, number, percent


def policies_section(found: Sequence[PolicyComparison]) -> Section | None:
    """What policies cost an honest user and leave to thieves; None where none was tried."""
    if not found:
        return None
    text = (
        "Accuracy counts a refusal as wrong. Fidelity is that of two thieves of the same paid answers to the "
        "undefended victim: one learns the best class of each answer, one the whole answers. Where the best class is "
        "unchanged, the thief of labels is not touched by any disturbance of probabilities."
    )
    return Section("policies", "Answer policies", (text,), [_policy_table(one) for one in found])


def policies_verdict(found: Sequence[PolicyComparison]) -> list[str]:
    """What the best policy of each comparison leaves to a thief who takes labels alone."""
    sentences = []
    for one in found:
        tried = [result for result in one.results if any(thief.learns == "labels" for thief in result.thieves)]
        if tried:
            least = min(tried, key=lambda result: _mean(result, "labels"))
            sentences.append(
                f"Whatever the answer policy, {count(one.budget)} labels of {one.artifact} give a thief a "
                f"fidelity of {percent(_mean(least, 'labels'))} or more (least under {least.policy}, at an accuracy "
                f"of {percent(least.accuracy)}; undefended {percent(one.victim_accuracy)})."
            )
    return sentences


def detection_section(found: Sequence[DetectionReport], drawings: list[Drawing]) -> Section | None:
    """Queries until each detector's alarm, and false alarms; None where no ledger was replayed."""
    if not found:
        return None
    blocks: list[object] = []
    for place, one in enumerate(found, start=1):
        drawing = draw_detection(one, f"detection_{place}")
        drawings.append(drawing)
        alt = "Queries until each detector's alarm, by thief; the numbers are in the table below."
        caption = f"Each mark is one thief under “{one.answers}” answers; hollow: no alarm in so many queries."
        blocks += [drawn(drawing, alt, caption), _alarm_table(one), _false_alarm_table(one)]
    text = "Thieves walk their way again, answered by their ledger. False alarms are of streams of test patients."
    left_out = [f"Left out: {line}" for one in found for line in one.left_out]
    return Section("detection", "Detection", (text, *left_out), blocks)  # type: ignore[arg-type]


@house_style()
def draw_detection(report: DetectionReport, name: str = "detection") -> Drawing:
    """Queries until the alarm: a line for each pool and strategy, a mark for each seed, hollow where there was none."""
    rows = list(dict.fromkeys((thief.pool, thief.strategy) for thief in report.thieves))
    detectors = list(report.calibration)
    figure = new_figure(1.4 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for place, detector in enumerate(detectors):
        shift = 0.24 * (place - (len(detectors) - 1) / 2)
        for thief in report.thieves:
            _mark(axes, thief, detector, rows.index((thief.pool, thief.strategy)) + shift, place)
        axes.plot([], [], MARKERS[place], color=PALETTE[place], label=detector)
    axes.set_yticks(range(len(rows)), [plain(f"{pool}, {strategy}", 34) for pool, strategy in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlabel("queries until the alarm (hollow: none until there)")
    axes.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=len(detectors))
    return render(figure, name)


def _mark(axes: Axes, thief: WatchedThief, detector: str, height: float, place: int) -> None:
    for found in thief.alarms:
        if found.detector == detector:
            reached = found.observed if found.alarm is None else found.alarm
            style = "none" if found.alarm is None else "full"
            axes.plot([reached], [height], MARKERS[place], color=PALETTE[place], fillstyle=style)


def _policy_table(one: PolicyComparison) -> Table:
    rows = [
        (
            result.policy,
            result.applied,
            percent(result.accuracy),
            percent(result.refused),
            percent(result.top1_changed) + (" (never)" if result.keeps_top1 else ""),
            *(number(value) for value in (result.ece, result.brier, result.probability_change)),
            _stolen(result, "labels"),
            _stolen(result, "scores"),
        )
        for result in one.results
    ]
    caption = (
        f"{one.artifact} ({one.engine}), {one.dataset}: undefended {percent(one.victim_accuracy)}. Thieves "
        f"({one.thief_architecture}, pool {one.pool}, {one.strategy}) have {count(one.budget)} queries; means over "
        f"seeds; naming one class gets {percent(one.constant_fidelity)}"
    )
    head = (
        "policy", "where", "accuracy", "refused", "best class changed", "ECE", "Brier", "|Δp|", "fidelity, labels",
        "fidelity, scores",
    )  # fmt: skip
    return Table(caption, head, rows, frozenset(range(2, 10)))


def _stolen(result: PolicyResult, learns: str) -> str:
    known = any(thief.learns == learns for thief in result.thieves)
    return percent(_mean(result, learns)) if known else NOT_MEASURED


def _mean(result: PolicyResult, learns: str) -> float:
    return mean(thief.fidelity for thief in result.thieves if thief.learns == learns)


def _alarm_table(one: DetectionReport) -> Table:
    rows = []
    for pool, strategy in dict.fromkeys((thief.pool, thief.strategy) for thief in one.thieves):
        own = [thief for thief in one.thieves if (thief.pool, thief.strategy) == (pool, strategy)]
        cells = [alarms([a.alarm for t in own for a in t.alarms if a.detector == name]) for name in one.calibration]
        rows.append((pool, strategy, count(max(thief.queries for thief in own)), *cells))
    head = ("pool", "strategy", "queries", *one.calibration)
    return Table("Queries until the alarm: median over seeds", head, rows, frozenset(range(2, len(head))))


def _false_alarm_table(one: DetectionReport) -> Table:
    rows = [
        (
            alarms.detector,
            count(len(alarms.alarms)),
            count(alarms.length),
            f"{percent(alarms.rate)} ({percent(alarms.interval[0])}–{percent(alarms.interval[1])})",
        )
        for alarms in one.false_alarms
    ]
    head = ("detector", "streams of patients", "queries at most", "with an alarm (95 %)")
    return Table("False alarms", head, rows, frozenset((1, 2, 3)))
