"""Where an inference's time goes on a device, as a record."""

from __future__ import annotations

from dataclasses import asdict, replace

from benchmarks.records import LayerProfile, LayerTime
from edge.deployment import RunnerOptions
from edge.devices.opening import OpenDevice
from edge.profiling import profile
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

# Inferences under the profiler.
RUNS = 100


def measure_profile(
    device: OpenDevice, artifact: Artifact, options: RunnerOptions, run_id: str, progress: Progress = SILENT
) -> LayerProfile | None:
    """Profile a model on a device; None where what answers there has no profiler. Errors as in `edge.profiling`.

    Args:
        device: where.
        artifact: the model.
        options: what shall answer.
        run_id: for the record.
        progress: shows the building and pushing of the runner.
    """
    found = profile(device, artifact, RUNS, replace(options, profile=None), progress)
    if found is None:
        return None
    told = asdict(found)
    for known in ("runtime", "runner", "layers"):
        del told[known]
    return LayerProfile(
        run_id=run_id,
        artifact_sha256=artifact.manifest.sha256,
        device_kind=device.info.kind,
        layers=[LayerTime(**asdict(layer)) for layer in found.layers],
        **told,
    )
