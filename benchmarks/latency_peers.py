"""The runtimes' own ways to time a file, one inference at a time, on one thread; medians in microseconds."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any


def litert_benchmark(path: Path, _: tuple[int, int, int], warm: int, runs: int) -> float:
    """The benchmark tool of the LiteRT wheel: `python -m ai_edge_litert.tools.benchmark_litert_model`.

    Its own loop, clock and median. It rounds its result to 10 microseconds, some per cent of what is measured here: so
    its module gets a `round` that does not.
    """
    from ai_edge_litert.tools import benchmark_litert_model as tool

    tool.round = _unrounded
    arguments = Namespace(
        model=str(path), signature="", use_cpu=True, no_cpu=False, use_gpu=False, use_npu=False,
        require_full_delegation=False, dispatch_library_path="", compiler_plugin_path="", runtime_path="",
        num_runs=runs, warmup_runs=warm, num_threads=1, result_json="", verbose=False,
    )  # fmt: skip
    with redirect_stdout(StringIO()):
        found: dict[str, Any] = tool.run_benchmark(arguments)
    return float(found["latency"]["median_ms"]) * 1e3


def executorch_bindings(path: Path, shape: tuple[int, int, int], warm: int, runs: int) -> float:
    """A plain loop over `executorch.runtime`'s `Method.execute`, as its documentation calls it."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)
    method = Runtime.get().load_program(path).load_method("forward")
    if method is None:
        raise ValueError(f"{path} has no method forward")
    height, width, channels = shape
    inputs = [torch.zeros(1, channels, height, width)]
    return median_us(partial(method.execute, inputs), warm, runs)


def median_us(call: Callable[[], object], warm: int, runs: int) -> float:
    """Median microseconds of so many calls one after the other, after some that are not counted."""
    times = []
    for _ in range(warm + runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * median(times[warm:])


def _unrounded(value: float, _: int) -> float:
    return value
