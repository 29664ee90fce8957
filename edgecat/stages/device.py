"""A device as a record, and what a deployed model answers on the test split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.records import AccuracyOnDevice, Device
from benchmarks.statistics import latency_summary, proportion_interval
from edge.deployed import DeployedModel
from edge.devices.information import DeviceInfo
from edge.devices.spec import parse_spec
from edgecat.quiet import log_output
from edgecat.stages.data import compared_images
from export.parity import runtime_logits
from foundation.manifest import Artifact
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
