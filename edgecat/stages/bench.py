"""`edgecat bench`: several artefacts timed on one device, in repeats and in random turns; see docs/benchmarking.md."""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import TypeAdapter

from benchmarks.records import Context, Device, Latency, LayerProfile, Memory, TemperatureGate, Throughput, Tier
from edge.deployed import DeployedModel
from edge.deployment import RunnerOptions, push_artifact, start
from edge.devices.conditions import GATE_SECONDS, ConditionsReader, wait_until_cool
from edge.devices.energy import EnergyMeter, energy_joules
from edge.devices.memory import PssWatch
from edge.devices.opening import OpenDevice
from edge.devices.page_cache import drop_file
from edge.devices.performance import FixedPerformance
from edge.runner.messages import BenchmarkRequest
from edgecat.context import describe_context
from edgecat.stages.device import describe_device
from edgecat.stages.latency import Setting, measure_latency, measure_throughput
from edgecat.stages.profile import measure_profile
from foundation.answers import AnswerPolicy
from foundation.errors import UsageError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

# MLPerf Mobile's single stream: samples, seconds, and the app's cap (flutter/assets/tasks.pbtxt).
TIERS: dict[Tier, BenchmarkRequest] = {
    "default": BenchmarkRequest(),
    "normal": BenchmarkRequest(min_runs=1024, min_seconds=60, max_seconds=600),
    "quick": BenchmarkRequest(min_runs=128, min_seconds=10, max_seconds=60),
    "rapid": BenchmarkRequest(min_runs=64, min_seconds=6, max_seconds=60),
}
# Its offline scenario; and for the other tiers what shows a rate in seconds.
_OFFLINE_IMAGES, _FEW_IMAGES = 24_576, 512
# In the memory pass, where nothing is timed: what memory an inference takes, it takes the first times already.
_MEMORY_PASS = BenchmarkRequest(warmup_runs=0, min_runs=20, min_seconds=0.3, max_seconds=5)


Measured = Context | Device | Latency | Throughput | LayerProfile


@dataclass(frozen=True)
class BenchPlan:
    """What to measure, and how.

    Attributes:
        request: warm-up, minima and maximum of one measurement.
        tier: what the request is called; see `TIERS`.
        repeats: processes for each artefact.
        seed: of the order in every round.
        serving: what answers on the device.
        memory: whether to look at the proportional set, in a process of its own.
        throughput: whether to ask about many images too.
        profile: whether to ask the runtime's profiler, in a session of its own, where the time goes.
        max_temperature_c: wait before each measurement until the battery is no hotter; None: do not wait.
        gate_seconds: but no longer than this.
        fixed_performance: whether to switch Android's mode on.

    Raises:
        UsageError: no repeats, a maximum of seconds below the minimum, a temperature or a time that cannot be.
    """

    request: BenchmarkRequest = field(default_factory=BenchmarkRequest)
    tier: Tier = "default"
    repeats: int = 3
    seed: int = 0
    serving: RunnerOptions = field(default_factory=RunnerOptions)
    memory: bool = True
    throughput: bool = False
    profile: bool = False
    max_temperature_c: float | None = None
    gate_seconds: float = GATE_SECONDS
    fixed_performance: bool = False

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise UsageError(f"{self.repeats} repeats measure nothing")
        if self.max_temperature_c is not None and not 0 <= self.max_temperature_c <= 100:
            raise UsageError(f"a battery is not at {self.max_temperature_c:g} °C", hint="--max-temperature 35")
        if not math.isfinite(self.gate_seconds) or self.gate_seconds < 0:
            raise UsageError(f"a gate cannot wait for {self.gate_seconds:g} seconds")


_PLAN = TypeAdapter(BenchPlan)


def bench(
    device: OpenDevice, artifacts: Sequence[Artifact], plan: BenchPlan, progress: Progress = SILENT
) -> Iterator[Measured]:
    """Measure, and give each record as soon as it is there: first who measured and how, and where.

    Args:
        device: where; it is taken until it is closed.
        artifacts: what, each once.
        plan: how.
        progress: shows it, and is told what the device could not do.

    Raises:
        ArtifactError: the device's runtime refuses one.
        DeviceError: the device or a runner failed.
        UsageError: an artefact is given twice, or `plan` does not fit one.
    """
    digests = [artifact.manifest.sha256 for artifact in artifacts]
    if len(set(digests)) < len(digests):
        twice = next(a.manifest.name for a in artifacts if digests.count(a.manifest.sha256) > 1)
        raise UsageError(f"{twice} is given twice", hint="--repeats measures the same file again")
    return _Bench(device, artifacts, plan, progress).run()


class _Bench:
    """One call of `bench`: the device, the plan, and what stands on the device by now."""

    def __init__(self, device: OpenDevice, artifacts: Sequence[Artifact], plan: BenchPlan, progress: Progress) -> None:
        self._device, self._artifacts, self._plan, self._progress = device, artifacts, plan, progress
        self._run_id = secrets.token_hex(8)
        self._reader = ConditionsReader(device.adb, physical=device.info.kind == "physical")
        self._meter = EnergyMeter(device.adb)
        self._fixed: bool | None = None
        self._gated = plan.max_temperature_c is not None

    def run(self) -> Iterator[Measured]:
        remotes = [push_artifact(self._device, artifact, self._progress) for artifact in self._artifacts]
        with contextlib.ExitStack() as held:
            if self._plan.fixed_performance:
                self._fix_performance(held)
            numbers = range(len(remotes))
            # First of all: whatever does not run, fails before the long part.
            pss = [self._peak_pss(number, remotes[number]) if self._plan.memory else None for number in numbers]
            told = _PLAN.dump_python(self._plan, mode="json")
            yield describe_context(self._run_id, self._device.info.spec, told, seed=self._plan.seed)
            yield describe_device(self._device.info, self._run_id)
            order = np.random.default_rng(self._plan.seed)
            for repeat in range(self._plan.repeats):
                for place, number in enumerate(order.permutation(len(remotes)).tolist()):
                    self._tell(number, repeat)
                    yield self._latency(number, remotes[number], pss[number], repeat, place)
            if self._plan.throughput:
                for number in numbers:
                    yield self._throughput(number, remotes[number])
            if self._plan.profile:
                yield from self._profiles()

    def _profiles(self) -> Iterator[LayerProfile]:
        for artifact in self._artifacts:
            found = measure_profile(self._device, artifact, self._plan.serving, self._run_id, self._progress)
            if found is None:
                self._progress.say(f"{artifact.manifest.name}: what answers on this device has no profiler")
            else:
                yield found

    def _latency(self, number: int, remote: str, pss: int | None, repeat: int, place: int) -> Latency:
        artifact, plan = self._artifacts[number], self._plan
        setting = self._setting()
        cold_seconds, cold_method = self._load_cold(number, remote)
        with self._start(number, remote) as deployed:
            before = self._meter.read()
            record = measure_latency(
                deployed, artifact, plan.request, self._device.info, self._run_id, self._progress,
                reader=self._reader, setting=setting,
            )  # fmt: skip
            joules = energy_joules(before, self._meter.read())
        memory = record.memory
        return record.model_copy(
            update={
                "repeat": repeat,
                "order": place,
                "shuffle_seed": plan.seed,
                "tier": plan.tier,
                "warm_load_ms": deployed.seconds_to_hello * 1e3,
                "cold_load_ms": cold_seconds and cold_seconds * 1e3,
                "cold_method": cold_method,
                "energy_joules": joules,
                "memory": Memory(
                    peak_rss_bytes=memory.peak_rss_bytes,
                    method=memory.method,
                    peak_pss_bytes=pss,
                    pss_method=None if pss is None else "smaps_rollup",
                ),
            }
        )

    def _throughput(self, number: int, remote: str) -> Throughput:
        plan, artifact = self._plan, self._artifacts[number]
        setting = self._setting()
        images = _OFFLINE_IMAGES if plan.tier == "normal" else _FEW_IMAGES
        task = self._progress.task(f"asking {artifact.manifest.name} about many images")
        with task, self._start(number, remote) as deployed:
            return measure_throughput(
                deployed, artifact, self._device.info, self._run_id,
                images, plan.request.min_seconds, plan.request.max_seconds, reader=self._reader, setting=setting,
            )  # fmt: skip

    def _start(self, number: int, remote: str) -> DeployedModel:
        manifest = self._artifacts[number].manifest
        return start(self._device, remote, manifest, AnswerPolicy("label"), self._plan.serving, self._progress)

    def _load_cold(self, number: int, remote: str) -> tuple[float | None, str | None]:
        """Seconds until a process could answer that had to fetch the file from storage."""
        method = drop_file(self._device.adb, remote, whole_device=self._device.info.kind == "physical")
        if method is None:
            return None, None
        with self._start(number, remote) as deployed:
            return deployed.seconds_to_hello, method

    def _peak_pss(self, number: int, remote: str) -> int | None:
        with self._start(number, remote) as deployed, PssWatch(self._device.adb, f"--model={remote}") as watch:
            deployed.benchmark(_MEMORY_PASS)
            deployed.close()
        return watch.peak_bytes

    def _setting(self) -> Setting:
        """What holds for the next measurement; waits for a cool battery first."""
        return Setting(self._plan.serving.cpus, self._fixed, self._wait())

    def _wait(self) -> TemperatureGate | None:
        limit = self._plan.max_temperature_c
        if limit is None or not self._gated:
            return None
        passed = wait_until_cool(self._reader, limit, self._plan.gate_seconds, self._progress)
        if passed is None:
            self._gated = False
            self._progress.say(f"{self._device.info.spec} tells no battery temperature: measuring without a gate")
            return None
        if passed.timed_out:
            self._progress.say(f"still hotter than {limit:g} °C after {passed.waited_seconds:.0f} s: measuring anyway")
        return TemperatureGate(limit_c=limit, waited_seconds=passed.waited_seconds, timed_out=passed.timed_out)

    def _fix_performance(self, held: contextlib.ExitStack) -> None:
        mode = held.enter_context(FixedPerformance(self._device.adb, self._device.info))
        self._fixed = True if mode.on else None
        if not mode.on:
            self._progress.say(f"no fixed performance mode: {mode.why_not}")

    def _tell(self, number: int, repeat: int) -> None:
        of = f"repeat {repeat + 1} of {self._plan.repeats}"
        self._progress.say(f"{self._artifacts[number].manifest.name}: {of}")
