"""Standard output of TFLite's and LiteRT's `benchmark_model`.

Format and its traps: xla/tsl/util/stats_calculator.h and tflite/tools/benchmark/benchmark_model.cc. A run prints two
stat lines, the first of the warm-up. A line may say `count=0`, or `count=N curr=X(all same)` where all samples are
equal, or `count=1 curr=X`. `avg` has six significant digits (`2.95034e+06`), `std` is the population's, truncated,
`p5 median p95` are ranks without interpolation, and missing before TensorFlow 2.16. Which runtime it was built with it
does not say.
"""

from __future__ import annotations

import re

from benchmarks.importers.told import Told, finite, model_name
from benchmarks.records import LatencyConfig, Reported
from foundation.errors import DataError

_TOOL = "benchmark_model"
_NUMBER = r"[0-9.]+(?:e[+-]?\d+)?"
_STAT = re.compile(
    rf"\bcount=(?P<count>\d+)(?: first=(?P<first>\d+))?(?: curr=(?P<curr>\d+)(?P<same> ?\(all same\))?)?"
    rf"(?: min=(?P<min>\d+) max=(?P<max>\d+) avg=(?P<avg>{_NUMBER}) std=(?P<std>\d+))?"
    r"(?: p5=(?P<p5>\d+) median=(?P<median>\d+) p95=(?P<p95>\d+))?"
)
_SAMPLES = re.compile(r"\bcount=\d+ (?:first|curr)=\d+")
_PHASE = re.compile(
    rf"Running benchmark for at least (\d+) iterations and at least ({_NUMBER}) seconds but terminate if exceeding "
    rf"({_NUMBER}) seconds"
)
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: ({_NUMBER}), First inference: ({_NUMBER}), Warmup \(avg\): ({_NUMBER}), "
    rf"Inference \(avg\): ({_NUMBER})"
)
_GRAPH = re.compile(r"(?:Loaded model |Graph: \[)([^\s\]]+)")
# `Num threads: [4]` where they were asked for; `#threads used for CPU inference: [4]` says the same, -1: it chooses.
_THREADS = re.compile(r"(?:Num threads|threads used for CPU inference): \[(-?\d+)\]")


def parse(text: str) -> list[Told] | None:
    """What one or several runs told; None: not from this tool.

    Raises:
        DataError: a stat line whose numbers are none.
    """
    if not any(pattern.search(text) for pattern in (_PHASE, _TIMINGS, _SAMPLES)):
        return None
    return [told for part in _runs(text) if (told := _one(part)) is not None]


def _runs(text: str) -> list[str]:
    """A file of several runs, one after another: each begins with STARTING!, or ends with its timings."""
    if text.count("STARTING!") > 1:
        return text.split("STARTING!")[1:]
    parts, start = [], 0
    for match in _TIMINGS.finditer(text):
        parts.append(text[start : match.end()])
        start = match.end()
    return parts or [text]


def _one(text: str) -> Told | None:
    stats = list(_STAT.finditer(text))
    timings, graph, threads = _TIMINGS.search(text), _GRAPH.search(text), _THREADS.search(text)
    # With one stat line alone nothing tells whether it is the warm-up's: only the timings' average can.
    measured = stats[1] if len(stats) > 1 else _alone(stats, timings)
    if measured is None and timings is None:
        raise DataError(f"{_TOOL}: one stat line and no timings", hint="it may be the warm-up's: give the whole output")
    reported = _reported(measured, timings)
    if reported.count == 0 or (reported.mean is None and reported.p50 is None):
        return None
    phases = list(_PHASE.finditer(text))
    count = int(threads[1]) if threads else None
    return Told(
        tool=_TOOL,
        artifact=model_name(graph[1]) if graph else None,
        config=_config(phases, stats, None if count is None or count < 0 else count),
        load_ms=finite(timings[1], _TOOL) / 1e3 if timings else None,
        first_us=finite(timings[2], _TOOL) if timings else None,
        reported=reported,
        met=_met(phases, reported),
    )


def _alone(stats: list[re.Match[str]], timings: re.Match[str] | None) -> re.Match[str] | None:
    if len(stats) != 1 or timings is None:
        return None
    mean = _reported(stats[0], None).mean
    return stats[0] if mean is not None and mean == finite(timings[4], _TOOL) else None


def _reported(stat: re.Match[str] | None, timings: re.Match[str] | None) -> Reported:
    found = {} if stat is None else {key: value for key, value in stat.groupdict().items() if value is not None}
    if stat is None or found["count"] == "0":
        mean = finite(timings[4], _TOOL) if timings and stat is None else None
        return Reported(count=None if stat is None else 0, mean=mean)
    count = int(found["count"])
    if "min" not in found:
        # One sample, or all the same: it is every statistic.
        value = finite(found["curr"], _TOOL) if "curr" in found and (count == 1 or "same" in found) else None
        spread = None if value is None else 0.0
        return Reported(count=count, mean=value, std=spread, min=value, p50=value, max=value)
    names = {"mean": "avg", "std": "std", "min": "min", "p5": "p5", "p50": "median", "p95": "p95", "max": "max"}
    numbers = {ours: finite(found[theirs], _TOOL) for ours, theirs in names.items() if theirs in found}
    return Reported(count=count, **numbers)


def _config(phases: list[re.Match[str]], stats: list[re.Match[str]], threads: int | None) -> LatencyConfig | None:
    if len(phases) < 2 or not stats:
        return None
    runs, seconds, most = phases[1].groups()
    return LatencyConfig(
        threads=threads,
        warmup_runs=int(stats[0]["count"]),
        min_runs=int(runs),
        min_seconds=finite(seconds, _TOOL),
        max_seconds=finite(most, _TOOL),
    )


def _met(phases: list[re.Match[str]], reported: Reported) -> tuple[bool | None, bool | None]:
    if len(phases) < 2 or reported.count is None or reported.mean is None:
        return None, None
    runs, seconds = int(phases[1][1]), finite(phases[1][2], _TOOL)
    # The seconds are wall clock around the runs; the samples alone may come to a little less.
    return reported.count >= runs, reported.count * reported.mean / 1e6 >= 0.9 * seconds
