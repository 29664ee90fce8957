"""One figure of what detectors said of thieves."""

from __future__ import annotations

from matplotlib.axes import Axes

from benchmarks.report.drawing import MARKERS, PALETTE, Drawing, house_style, new_figure, plain, render
from edgecat.stages.detect import DetectedThief, DetectionResult


@house_style()
def draw_detection(result: DetectionResult, name: str = "detection") -> Drawing:
    """Queries until the alarm: a line for each pool and strategy, a mark for each seed, hollow where there was none."""
    rows = list(dict.fromkeys((thief.pool, thief.strategy) for thief in result.thieves))
    detectors = list(result.calibration)
    figure = new_figure(1.4 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for number, detector in enumerate(detectors):
        shift = 0.24 * (number - (len(detectors) - 1) / 2)
        for thief in result.thieves:
            _mark(axes, thief, detector, rows.index((thief.pool, thief.strategy)) + shift, number)
        axes.plot([], [], MARKERS[number], color=PALETTE[number], label=detector)
    axes.set_yticks(range(len(rows)), [plain(f"{pool}, {strategy}", 34) for pool, strategy in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlabel("queries until the alarm (hollow: none until there)")
    axes.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=len(detectors))
    return render(figure, name)


def _mark(axes: Axes, thief: DetectedThief, detector: str, height: float, number: int) -> None:
    for found in thief.detections:
        if found.detector == detector:
            never = found.alarm is None
            axes.plot(
                [found.observed if found.alarm is None else found.alarm],
                [height],
                MARKERS[number],
                color=PALETTE[number],
                fillstyle="none" if never else "full",
            )
