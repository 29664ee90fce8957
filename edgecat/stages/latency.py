"""A deployed model's latency and throughput as records; what they mean is in docs/benchmarking.md."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import (
    Conditions,
    Latency,
    LatencyConfig,
    Memory,
    TemperatureGate,
    Throughput,
    Validity,
)
from benchmarks.statistics import drift, evenly_picked, has_drifted, latency_summary
from edge.deployed import FRAME_IMAGES, FRAMES_IN_FLIGHT, DeployedModel
from edge.devices.conditions import ConditionsReader, Snapshot
from edge.devices.information import DeviceInfo
from edge.runner.messages import BenchmarkRequest, images_in_frame
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

# Enough to tell how many images fill the time that is asked for.
_TRIED_IMAGES = 16


@dataclass(frozen=True)
class Setting:
    """What was done to the device for a measurement, of what it cannot tell itself."""

    cpus: str | None = None
    fixed_performance: bool | None = None
    gate: TemperatureGate | None = None


def measure_latency(
    deployed: DeployedModel,
    artifact: Artifact,
    request: BenchmarkRequest,
    info: DeviceInfo,
    run_id: str,
    progress: Progress = SILENT,
    *,
    reader: ConditionsReader | None = None,
    setting: Setting | None = None,
) -> Latency:
    """Time single inferences inside the runner's process on the device.

    Args:
        deployed: what is asked.
        artifact: what it answers by.
        request: how long.
        info: the device.
        run_id: of the record.
        progress: shows that it takes a while.
        reader: reads the device's state before and after; None: the record has no conditions.
        setting: goes into the conditions too.

    Raises:
        DeviceError: the device or the runner failed.
    """
    before = None if reader is None else reader.read()
    with progress.task(f"timing {artifact.manifest.name}") as advance:
        measured = deployed.benchmark(request)
        advance(1)
    after = None if reader is None else reader.read()
    samples = measured.samples_ns.astype(np.float64) / 1e3
    kept = evenly_picked(samples)
    return Latency(
        run_id=run_id,
        artifact=artifact.manifest.name,
        artifact_sha256=artifact.manifest.sha256,
        device_kind=info.kind,
        engine=deployed.hello.engine,
        config=LatencyConfig(
            threads=deployed.hello.threads,
            warmup_runs=request.warmup_runs,
            min_runs=request.min_runs,
            min_seconds=request.min_seconds,
            max_seconds=request.max_seconds,
        ),
        load_ms=measured.load_ns / 1e6,
        first_us=measured.first_ns / 1e3,
        raw_us=kept,
        raw_kept=len(kept),
        latency_us=latency_summary(samples),
        memory=Memory(
            peak_rss_bytes=measured.peak_rss_bytes, method="VmHWM" if measured.peak_rss_bytes is not None else None
        ),
        artifact_bytes=artifact.manifest.bytes,
        validity=Validity(
            min_runs_met=len(samples) >= request.min_runs,
            # The runner stops short of the seconds only where it is told a lower maximum.
            min_seconds_met=request.max_seconds >= request.min_seconds,
            throttled=_throttled(before, after),
            drift=drift(samples),
            drifted=has_drifted(samples),
        ),
        conditions=_conditions(before, after, setting or Setting()),
    )


def measure_throughput(
    deployed: DeployedModel,
    artifact: Artifact,
    info: DeviceInfo,
    run_id: str,
    least_images: int,
    least_seconds: float,
    most_seconds: float,
    *,
    reader: ConditionsReader | None = None,
    setting: Setting | None = None,
) -> Throughput:
    """Ask about many images at once through the query channel, as MLPerf's offline scenario does.

    A first small query warms up and tells how many images fill the time.

    Args:
        deployed: what is asked.
        artifact: what it answers by.
        info: the device.
        run_id: of the record.
        least_images: ask at least so many…
        least_seconds: …and so many that they take about this long…
        most_seconds: …but no more than take about so long.
        reader: reads the device's state before and after; None: the record has no conditions.
        setting: goes into the conditions too.

    Raises:
        DeviceError: the device or the runner failed.
    """
    before = None if reader is None else reader.read()
    image = np.random.default_rng(0).integers(0, 256, deployed.image_shape, np.uint8)
    start = time.monotonic()
    deployed.query(_many(image, _TRIED_IMAGES))
    rate = _TRIED_IMAGES / max(time.monotonic() - start, 1e-6)
    images = max(1, min(max(least_images, int(rate * least_seconds)), int(rate * most_seconds)))
    start = time.monotonic()
    answers = deployed.query(_many(image, images))
    seconds = time.monotonic() - start
    after = None if reader is None else reader.read()
    in_frame = images_in_frame(deployed.image_shape, deployed.policy.width(deployed.classes))
    return Throughput(
        run_id=run_id,
        artifact=artifact.manifest.name,
        artifact_sha256=artifact.manifest.sha256,
        device_kind=info.kind,
        engine=deployed.hello.engine,
        threads=deployed.hello.threads,
        images=images,
        frame_images=min(FRAME_IMAGES, in_frame, images),
        frames_in_flight=FRAMES_IN_FLIGHT,
        seconds=seconds,
        images_per_second=images / seconds,
        device_seconds=float(answers.device_ns.sum(dtype=np.float64)) / 1e9,
        artifact_bytes=artifact.manifest.bytes,
        conditions=_conditions(before, after, setting or Setting()),
    )


def _many(image: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """One image many times, without the memory."""
    return np.broadcast_to(image, (count, *image.shape))


def _conditions(before: Snapshot | None, after: Snapshot | None, setting: Setting) -> Conditions | None:
    if before is None or after is None:
        return None
    return Conditions(
        battery_c_start=before.battery_c,
        battery_c_end=after.battery_c,
        thermal_status_start=before.thermal_status,
        thermal_status_end=after.thermal_status,
        gate=setting.gate,
        governors=after.governors,
        frequencies_khz_start=before.frequencies_khz,
        frequencies_khz_end=after.frequencies_khz,
        limits_khz_start=before.limits_khz,
        limits_khz_end=after.limits_khz,
        fixed_performance=setting.fixed_performance,
        cpus=setting.cpus,
        plugged=after.plugged,
        load_average_start=before.load_average,
        load_average_end=after.load_average,
    )


def _throttled(before: Snapshot | None, after: Snapshot | None) -> bool | None:
    """Whether heat slowed the device: it says so, or a core's highest frequency was lowered; None: it tells neither."""
    if before is None or after is None:
        return None
    told = [status > 0 for status in (before.thermal_status, after.thermal_status) if status is not None]
    limits, lowered = before.limits_khz or {}, after.limits_khz or {}
    told += [lowered[core] < limit for core, limit in limits.items() if core in lowered]
    return any(told) if told else None
