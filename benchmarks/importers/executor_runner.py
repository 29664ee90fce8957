"""Logs of ExecuTorch's `executor_runner`, from standard error or from logcat (tag ExecuTorch).

examples/portable/executor_runner/executor_runner.cpp: `Iteration 1 of 50: 0.69 ms` for each execution where there are
several (newer versions), `Model executed successfully 50 time(s) in 34.5 ms.` at the end, of which only the mean can be
told. Only `method->execute()` is timed. There is no warm-up, so the first execution stands among the samples that it
gives: it is taken out of them here, as `first_us`.
"""

from __future__ import annotations

import re

from benchmarks.importers.told import Told, finite, model_name
from benchmarks.records import LatencyConfig, Reported

_TOOL = "executor_runner"
_NUMBER = r"(\d+(?:\.\d+)?)"
_FILE = re.compile(r"Model file (\S+) is loaded")
_LOADED = re.compile(rf"Model loaded in {_NUMBER} ms")
_THREADS = re.compile(r"Resetting threadpool (?:with num threads = |to )(\d+)")
_ITERATION = re.compile(rf"Iteration (\d+) of (\d+): {_NUMBER} ms")
_ENDED = re.compile(rf"Model executed successfully (\d+) time\(s\) in {_NUMBER} ms")


def parse(text: str) -> list[Told] | None:
    """What one or several processes told; None: not from this tool. A run that was broken off tells nothing."""
    if not _ENDED.search(text) and not _ITERATION.search(text):
        return [] if "executor_runner.cpp" in text else None
    parts, start = [], 0
    for match in _ENDED.finditer(text):
        parts.append(text[start : match.end()])
        start = match.end()
    return [_one(part) for part in parts]


def _one(text: str) -> Told:
    ended = _ENDED.search(text)
    assert ended is not None, "parts end with this line"
    runs, total_us = int(ended[1]), 1e3 * finite(ended[2], _TOOL)
    samples = [1e3 * finite(match[3], _TOOL) for match in _ITERATION.finditer(text)]
    if len(samples) != runs:
        # A part of them alone would be a biased sample (logcat drops lines under load).
        samples = []
    first = samples[0] if samples else None
    raw = samples[1:]
    file, loaded, threads = _FILE.search(text), _LOADED.search(text), _THREADS.search(text)
    mean = total_us / runs if runs else None
    return Told(
        tool=_TOOL,
        artifact=model_name(file[1]) if file else None,
        engine="ExecuTorch",
        config=LatencyConfig(
            threads=int(threads[1]) if threads else None,
            warmup_runs=1 if raw else 0,
            min_runs=len(raw) or runs,
            min_seconds=0,
            max_seconds=0,
        ),
        load_ms=finite(loaded[1], _TOOL) if loaded else None,
        first_us=first,
        raw_us=raw,
        reported=None if raw else Reported(count=runs, mean=mean),
        met=(True, None),
    )
