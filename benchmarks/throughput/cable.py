"""A pulled cable: the device is killed in the middle of a push, a query and a benchmark. When is it noticed?"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from benchmarks.throughput.queries import in_background
from edge.deployment import RunnerOptions, deploy
from edge.devices.opening import OpenDevice
from edge.runner.messages import BenchmarkRequest
from foundation.errors import DeviceError
from foundation.manifest import Artifact

STAGES = ("push", "query", "benchmark")
_UNDER_WAY_SECONDS = 0.3
_PUSH_BYTES = 256 << 20


class Killable(Protocol):
    """An emulated device that can be ended without a word."""

    def kill(self) -> None:
        """End it and all that runs on it."""


Start = Callable[[], AbstractContextManager[tuple[Killable, OpenDevice]]]


def pull(start: Start, artifact: Artifact, images: NDArray[np.uint8], file: Path) -> dict[str, JsonValue]:
    """Seconds until the error, and this process's processor seconds meanwhile, by stage; a new device for each."""
    return {stage: _pull_at(stage, start, artifact, images, file) for stage in STAGES}


def _pull_at(
    stage: str, start: Start, artifact: Artifact, images: NDArray[np.uint8], file: Path
) -> dict[str, JsonValue]:
    with ExitStack() as held:
        killable, device = held.enter_context(start())
        work = _work(stage, held, device, artifact, images, file)
        thread, raised = in_background(work)
        time.sleep(_UNDER_WAY_SECONDS)
        before = time.perf_counter(), time.process_time()
        killable.kill()
        thread.join(30)
        noticed, busy = time.perf_counter() - before[0], time.process_time() - before[1]
        if not raised or not isinstance(raised[0], DeviceError):
            raise RuntimeError(f"the {stage} did not end in a device error but with {raised or 'nothing'}")
        return {"noticed_seconds": noticed, "busy_seconds": busy, "words": str(raised[0])}


def _work(
    stage: str, held: ExitStack, device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8], file: Path
) -> Callable[[], object]:
    """What goes on until the device is killed."""
    if stage == "push":
        with file.open("wb") as stream:
            stream.truncate(_PUSH_BYTES)

        def push_on() -> None:
            for number in range(1000):
                device.adb.push(file, f"{device.info.workdir}/cable-{number % 2}")

        return push_on
    model = held.enter_context(deploy(device, artifact, options=RunnerOptions("native")))
    if stage == "benchmark":
        return lambda: model.benchmark(BenchmarkRequest(0, 1, 20.0, 20.0))

    def ask_on() -> None:
        while True:
            model.query(images)

    return ask_on
