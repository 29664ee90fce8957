"""A deployed model: what it answers on the test split, and how fast."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.records import (
    AccuracyOnDevice,
    Device,
    Latency,
    LatencyConfig,
    Memory,
    Validity,
)
from benchmarks.statistics import evenly_picked, latency_summary, proportion_interval
from edge.deployed import DeployedModel
from edge.devices.information import DeviceInfo
from edge.devices.spec import parse_spec
from edge.runner.messages import BenchmarkRequest
from edgecat.quiet import log_output
from edgecat.stages.data import compared_images
from export.parity import runtime_logits
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset


def describe_device(info: DeviceInfo, run_id: str) -> Device:
    """The device as a record; its serial number stays a hash."""
    return Device(
        run_id=run_id,
        spec=parse_spec(info.spec).anonymous,
        device_kind=info.kind,
        serial_hash=info.serial_hash,
        model=info.model,
        abi=info.abi,
        os_version=info.os_version,
    )


def measure_accuracy(
    deployed: DeployedModel, artifact: Artifact, dataset: Dataset, info: DeviceInfo, run_id: str
) -> AccuracyOnDevice:
    """Ask the device for every test image, and hold its labels against the same runtime in this process.

    These are the evaluator's questions, not a thief's: they stand in no ledger.
    """
    images = compared_images(dataset)
    answers = deployed.query(images)
    labels, count = answers.top1(), len(dataset.test)
    with log_output(Path(os.devnull)):
        here = runtime_logits(artifact, images).argmax(1)
    hits = labels[:count] == dataset.test.labels
    return AccuracyOnDevice(
        run_id=run_id,
        artifact=artifact.manifest.name,
        device_kind=info.kind,
        engine=deployed.hello.engine,
        accuracy=float(hits.mean()),
        accuracy_ci=proportion_interval(hits, np.random.default_rng(0)),
        images=count,
        labels_compared=len(images),
        labels_equal=int((labels == here).sum()),
        predictions=labels[:count].tolist(),
        device_ns=latency_summary(answers.device_ns[:count]),
    )


def measure_latency(
    deployed: DeployedModel,
    artifact: Artifact,
    request: BenchmarkRequest,
    info: DeviceInfo,
    run_id: str,
    progress: Progress = SILENT,
) -> Latency:
    """Time single inferences inside the runner's process on the device."""
    with progress.task(f"timing {artifact.manifest.name}") as advance:
        measured = deployed.benchmark(request)
        advance(1)
    samples = measured.samples_ns.astype(np.float64) / 1e3
    kept = evenly_picked(samples)
    return Latency(
        run_id=run_id,
        artifact=artifact.manifest.name,
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
        ),
    )
