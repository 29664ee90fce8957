"""What LiteRT's Python benchmark tells (`litert-benchmark`, ai_edge_litert/tools/benchmark_litert_model.py).

Its standard output, or the file of `--result_json`, which names the model and the threads besides. Both round to
hundredths of a millisecond, so that 70 µs and 74 µs are the same to it; percentiles are linear, `std` is the sample's.
"""

from __future__ import annotations

import json
import re
from typing import Any

from benchmarks.importers.told import Told, finite, model_name
from benchmarks.records import LatencyConfig, Reported
from foundation.errors import DataError

_TOOL = "litert-benchmark"
_HEAD = "BENCHMARK RESULTS"
_LINE = re.compile(r"^(Model initialization|(?:Warmup|Inference) \(\w+\)):\s+([0-9.]+) ms(?: \((\d+) runs\))?", re.M)
# The logger's lines, which stand before the results where standard error was kept too.
_MODEL = re.compile(r"benchmark_litert_model: Model:\s+(\S+)")
_THREADS = re.compile(r"benchmark_litert_model: Num threads:\s+(\d+)")
_OURS = {"mean": "avg", "std": "std", "min": "min", "p5": "p5", "p50": "median", "p95": "p95", "max": "max"}


def parse(text: str) -> list[Told] | None:
    """What one process told; None: not from this tool.

    Raises:
        DataError: results without the average.
    """
    if text.lstrip().startswith("{"):
        return _document(text)
    if _HEAD not in text:
        return None
    found = {match[1]: match for match in _LINE.finditer(text)}
    if "Inference (avg)" not in found:
        raise DataError(f"{_TOOL}: no average among its results", hint="give its whole output")
    times = {name: 1e3 * finite(match[2], _TOOL) for name, match in found.items()}
    numbers = {
        ours: times[f"Inference ({theirs})"] for ours, theirs in _OURS.items() if f"Inference ({theirs})" in times
    }
    model, threads, warmup = _MODEL.search(text), _THREADS.search(text), found.get("Warmup (avg)")
    runs = int(found["Inference (avg)"][3])
    return [
        Told(
            tool=_TOOL,
            artifact=model_name(model[1]) if model else None,
            engine="LiteRT",
            config=None if threads is None else _config(int(threads[1]), int(warmup[3]) if warmup else 0, runs),
            load_ms=times["Model initialization"] / 1e3 if "Model initialization" in times else None,
            first_us=times.get("Warmup (first)"),
            reported=Reported(count=runs, **numbers),
            met=(True, None),
        )
    ]


def _document(text: str) -> list[Told] | None:
    try:
        content: Any = json.loads(text)
        latency = content["latency"]
        names = (content["model"], content["num_threads"], latency["avg_ms"], latency["num_runs"])
    except (ValueError, KeyError, TypeError):
        return None
    if any(name is None for name in names):
        return None
    try:
        numbers = {
            ours: 1e3 * finite(str(latency[f"{theirs}_ms"]), _TOOL)
            for ours, theirs in _OURS.items()
            if f"{theirs}_ms" in latency
        }
        return [
            Told(
                tool=_TOOL,
                artifact=model_name(str(content["model"])),
                engine="LiteRT",
                config=_config(
                    int(content["num_threads"]), int(latency.get("num_warmup_runs", 0)), latency["num_runs"]
                ),
                load_ms=latency.get("init_ms"),
                first_us=1e3 * float(latency["warmup_first_ms"]) if "warmup_first_ms" in latency else None,
                reported=Reported(count=int(latency["num_runs"]), **numbers),
                met=(True, None),
            )
        ]
    except (ValueError, TypeError) as error:
        raise DataError(f"{_TOOL}: a number of its results cannot be read: {error}") from error


def _config(threads: int, warmup: int, runs: int) -> LatencyConfig:
    """It runs so often and looks at no clock."""
    return LatencyConfig(threads=threads, warmup_runs=warmup, min_runs=runs, min_seconds=0, max_seconds=0)
