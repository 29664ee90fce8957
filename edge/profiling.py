"""What an inference is made of: the time of each operator, by the runtime's own profiler, on the device.

By ExecuTorch's and XNNPACK's clocks for a `.pte` file, by LiteRT's and XNNPACK's for a `.tflite` file, from the native
linux runners. The Python runner and TFLite's C API on Android tell nothing: then there is no profile; none is guessed.

A profiler costs time itself, so what an inference takes here is no latency: `DeployedModel.benchmark` measures that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.deployment import DEFAULT, RunnerOptions, deploy
from edge.devices.opening import OpenDevice
from foundation.errors import ProtocolError, UsageError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

MAX_RUNS = 1000
Scope = Literal["operator", "delegated", "delegate"]
_SCOPES = ("inference", "operator", "delegated", "delegate")


@dataclass(frozen=True)
class LayerTime:
    """One operator of an inference, or one call of a delegate that tells nothing of its inside.

    Attributes:
        name: as the runtime has it, as in `Convolution (NHWC, QC8) IGEMM #2`; empty where it has none.
        kind: what of that is the operator's kind, as in `Convolution`; `delegate` for a delegate as a whole.
        scope: `operator` (the runtime's own kernel), `delegated` (within a delegate, by the delegate's clock) or
            `delegate` (a delegate as a whole).
        mean_us: microseconds, mean over the counted inferences.
        share: of the inference, 0 to 1.
    """

    name: str
    kind: str
    scope: Scope
    mean_us: float
    share: float


@dataclass(frozen=True)
class KindTime:
    """All operators of one kind: how many, and their time together; see `LayerTime`."""

    kind: str
    count: int
    mean_us: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Where an inference's time goes.

    Attributes:
        artifact: the model's name.
        runtime: of its file.
        engine: what answered, with its version.
        runner: the runner's name and version.
        threads: of the runtime.
        runs: inferences under the profiler.
        counted: those that took no longer than their median: the others were disturbed, and means are of these.
        resolution_us: a delegate's times are whole multiples of it, rounded down, so that what takes less is 0.
        inference_us: an inference under the profiler, mean.
        delegates_us: all calls of delegates as a whole; None where the runtime does not tell.
        rest_us: what no layer accounts for: calls, the profiler's own work, what was rounded down.
        layers: in the order of the inference.
    """

    artifact: str
    runtime: str
    engine: str
    runner: str
    threads: int
    runs: int
    counted: int
    resolution_us: float
    inference_us: float
    delegates_us: float | None
    rest_us: float
    layers: tuple[LayerTime, ...]

    def by_kind(self) -> tuple[KindTime, ...]:
        """The layers' times by kind of operator, the longest first."""
        kinds = {layer.kind: [one for one in self.layers if one.kind == layer.kind] for layer in self.layers}
        summed = [
            KindTime(kind, len(own), sum(one.mean_us for one in own), sum(one.share for one in own))
            for kind, own in kinds.items()
        ]
        return tuple(sorted(summed, key=lambda one: -one.mean_us))


def profile(
    device: OpenDevice,
    artifact: Artifact,
    runs: int = 200,
    options: RunnerOptions = DEFAULT,
    progress: Progress = SILENT,
) -> Profile | None:
    """Profile a model on a device, on a black image, in a session of its own.

    Args:
        device: where.
        artifact: the model.
        runs: inferences under the profiler, 1 to `MAX_RUNS`.
        options: what shall answer.
        progress: shows the building and pushing of the runner.

    Returns:
        None where what answers there has no profiler.

    Raises:
        UsageError: `runs` is out of range.
        ProtocolError: the runner's profile cannot be read.
    """
    if not 1 <= runs <= MAX_RUNS:
        raise UsageError(f"a profile of {runs} inferences cannot be made", hint=f"1 to {MAX_RUNS}")
    with deploy(device, artifact, options=replace(options, profile=runs), progress=progress) as model:
        hello = model.hello
    if hello.profile is None:
        return None
    steps, resolution_ns = _read(hello.profile, runs, device.info.spec)
    return _profile(
        steps,
        resolution_ns / 1e3,
        artifact=artifact.manifest.name,
        runtime=artifact.manifest.runtime,
        engine=hello.engine,
        runner=hello.runner,
        threads=hello.threads,
    )


@dataclass(frozen=True)
class _Step:
    name: str
    scope: str
    ns: NDArray[np.float64]  # [runs]


def _read(document: Mapping[str, Any], runs: int, spec: str) -> tuple[list[_Step], float]:
    """The runner's own words, checked."""
    try:
        steps = [
            _Step(str(step["name"]), str(step["scope"]), np.array(step["ns"], np.float64)) for step in document["steps"]
        ]
        resolution = float(document["resolution_ns"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the runner's profile cannot be read: {error!r}", device=spec) from error
    whole = [step for step in steps if step.scope == "inference"]
    sound = all(step.ns.shape == (runs,) and np.all(step.ns >= 0) and step.scope in _SCOPES for step in steps)
    if len(whole) != 1 or not sound or not np.all(whole[0].ns > 0):
        raise ProtocolError(f"the runner's profile is none of {runs} inferences", device=spec)
    return steps, resolution


def _profile(steps: Sequence[_Step], resolution_us: float, **known: Any) -> Profile:
    inference = next(step.ns for step in steps if step.scope == "inference")
    counted = inference <= np.median(inference)
    whole_us = _mean_us(inference, counted)
    layers, delegates = [], []
    inside = False
    for step in steps:
        if step.scope == "delegate":
            delegates.append(_mean_us(step.ns, counted))
        if step.scope in ("operator", "delegated") or (step.scope == "delegate" and not inside):
            layers.append(_layer(step, _mean_us(step.ns, counted), whole_us))
        # A delegate's own steps come before the call that they were made in.
        inside = step.scope == "delegated"
    return Profile(
        runs=len(inference),
        counted=int(counted.sum()),
        resolution_us=resolution_us,
        inference_us=whole_us,
        delegates_us=sum(delegates) if delegates else None,
        rest_us=whole_us - sum(layer.mean_us for layer in layers),
        layers=tuple(layers),
        **known,
    )


def _mean_us(ns: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    return float(ns[counted].mean() / 1e3)


def _layer(step: _Step, mean_us: float, whole_us: float) -> LayerTime:
    # XNNPACK: `Convolution (NHWC, QC8) IGEMM #2`; ExecuTorch's kernels: `convolution.out`; TFLite's: `CONV_2D`.
    kind = re.split(r" \(|\.| #", step.name, maxsplit=1)[0]
    scope: Scope = "operator" if step.scope == "operator" else "delegated" if step.scope == "delegated" else "delegate"
    return LayerTime(step.name, "delegate" if scope == "delegate" else kind, scope, mean_us, mean_us / whole_us)
