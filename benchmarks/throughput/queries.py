"""How many images a second a deployed model labels, and how near that is to what its processor can compute."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from edge.deployed import DeployedModel
from edge.deployment import RunnerOptions, deploy
from edge.devices.opening import OpenDevice
from edge.runner.messages import BenchmarkRequest
from foundation.manifest import Artifact

BATCHES = (256, 64, 16, 1)
_NATIVE = RunnerOptions("native")


def rates(device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8], rounds: int) -> dict[str, JsonValue]:
    """Images a second by batch, in rounds; each round begins with the compute-bound rate that it is held against.

    The compute-bound rate is that of the runner's own BENCHMARK: inferences one after another within its process.
    """
    compute: list[float] = []
    asked: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    with deploy(device, artifact, options=_NATIVE) as model:
        for _ in range(rounds):
            compute.append(_compute_rate(model))
            for batch in BATCHES:
                asked[batch].append(_rate(model, images[: len(images) if batch > 1 else 4000], batch))
        engine = model.hello.engine
    shares = {batch: [got / bound for got, bound in zip(asked[batch], compute, strict=True)] for batch in BATCHES}
    return {
        "engine": engine,
        "device_kind": device.info.kind,
        "compute_bound_per_second": list[JsonValue](compute),
        "images_per_second": {str(batch): list[JsonValue](values) for batch, values in asked.items()},
        "share_of_compute": {str(batch): statistics.median(values) for batch, values in shares.items()},
        "median": {str(batch): statistics.median(values) for batch, values in asked.items()},
    }


def sessions_at_once(
    device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8], rounds: int
) -> dict[str, JsonValue]:
    """Rates of one and of two runner sessions at batches of 256, taking turns; the ratio is the median of rounds."""
    one: list[float] = []
    two: list[float] = []
    with ExitStack() as held, ThreadPoolExecutor(2) as pool:
        models = [held.enter_context(deploy(device, artifact, options=_NATIVE)) for _ in range(2)]
        for _ in range(rounds):
            one.append(_rate(models[0], images, 256))
            start = time.perf_counter()
            list(pool.map(lambda model: model.query(images), models))
            two.append(2 * len(images) / (time.perf_counter() - start))
    ratios = [both / single for both, single in zip(two, one, strict=True)]
    return {
        "one": list[JsonValue](one),
        "two": list[JsonValue](two),
        "ratio": statistics.median(ratios),
    }


def sustained(device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8], queries: int) -> dict[str, JsonValue]:
    """Many queries in one session: the rate, and this process's memory (KiB) after each tenth of them."""
    memory: list[int] = []
    answered = 0
    start = time.perf_counter()
    with deploy(device, artifact, options=_NATIVE) as model:
        while answered < queries:
            part = images[: min(len(images), queries - answered)]
            answered += len(model.query(part))
            if answered * 10 // queries > len(memory):
                memory.append(_resident_kib())
    seconds = time.perf_counter() - start
    return {
        "queries": answered,
        "seconds": seconds,
        "per_second": answered / seconds,
        "host_resident_kib": list[JsonValue](memory),
        "growth_kib": memory[-1] - memory[0],
    }


def labels(device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The native runner's labels, int64 [N]."""
    with deploy(device, artifact, options=_NATIVE) as model:
        return model.query(images).top1()


def _compute_rate(model: DeployedModel) -> float:
    measured = model.benchmark(BenchmarkRequest(warmup_runs=200, min_runs=1000, min_seconds=0.5, max_seconds=2.0))
    return float(1e9 / measured.samples_ns.mean())


def _rate(model: DeployedModel, images: NDArray[np.uint8], batch: int) -> float:
    start = time.perf_counter()
    if batch == BATCHES[0]:
        # As an attack does: all at once, so that several frames are under way. Smaller ones wait for their answers.
        model.query(images)
    else:
        for k in range(0, len(images), batch):
            model.query(images[k : k + batch])
    return len(images) / (time.perf_counter() - start)


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Start `work` in a thread; what it raises is kept."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the caller looks at it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised
