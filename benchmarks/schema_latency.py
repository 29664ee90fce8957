"""Records of speed on a device: single inferences one after another, many images through the query channel.

How each number is measured, and under which conditions: docs/benchmarking.md. Fields with a default are younger than
version 1 of the schema: records that lack them are read as before. Null says that the device could not tell, or that
nobody asked.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from benchmarks.schema_base import RAW_LIMIT, BaseRecord, Count, DeviceKind, Model, Seconds

Tier = Literal["default", "normal", "quick", "rapid"]
ThermalStatus = Annotated[int, Field(ge=0, le=6)]


class Distribution(Model):
    """Summary of samples, in the samples' unit. Percentiles are linear, `std` is the population's."""

    count: Count
    mean: float
    std: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float


class Reported(Model):
    """What another tool told of its samples without giving them: in microseconds, by its own definitions."""

    count: Count | None = None
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    p5: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class LatencyConfig(Model):
    """How latency was measured: until both minima are met, or `max_seconds`. Threads None: the runtime chooses."""

    threads: int | None
    warmup_runs: Count
    min_runs: Count
    min_seconds: Seconds
    max_seconds: Seconds


class TemperatureGate(Model):
    """How a measurement waited for a cool battery.

    Attributes:
        limit_c: it may begin at this temperature or below, °C.
        waited_seconds: how long that took.
        timed_out: it never came: the measurement began hotter than the limit.
    """

    limit_c: float
    waited_seconds: Seconds
    timed_out: bool


class Conditions(Model):
    """The state of the device around one measurement, read just before and just after it.

    Attributes:
        battery_c_start, battery_c_end: temperature of the battery, °C.
        thermal_status_start, thermal_status_end: Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe,
            4 critical, 5 emergency, 6 shutdown (android.os.PowerManager).
        limits_khz_start, limits_khz_end: highest frequency that was allowed then, by core; heat lowers it.
        gate: None: none was asked for, or there is no battery to ask.
        governors: cpufreq governor by number of the core.
        frequencies_khz_start, frequencies_khz_end: current frequency by number of the core, kHz.
        fixed_performance: whether we switched Android's fixed performance mode on; None: not asked for, or it could
            not be had.
        cpus: cores that the runner was kept to, as in `0,2-3`; None: all.
        plugged: whether anything but the battery fed the device.
        load_average_start, load_average_end: of the last minute.
    """

    battery_c_start: float | None = None
    battery_c_end: float | None = None
    thermal_status_start: ThermalStatus | None = None
    thermal_status_end: ThermalStatus | None = None
    gate: TemperatureGate | None = None
    governors: dict[int, str] | None = None
    frequencies_khz_start: dict[int, int] | None = None
    frequencies_khz_end: dict[int, int] | None = None
    limits_khz_start: dict[int, int] | None = None
    limits_khz_end: dict[int, int] | None = None
    fixed_performance: bool | None = None
    cpus: str | None = None
    plugged: bool | None = None
    load_average_start: float | None = None
    load_average_end: float | None = None


class Memory(Model):
    """Memory of the runner's process at its highest, in bytes, and the methods that told it.

    Attributes:
        peak_rss_bytes: resident set of the process that was timed, kept by the kernel.
        peak_pss_bytes: proportional set of another process that did the same: looking costs time, so it is apart.
    """

    peak_rss_bytes: int | None
    method: Literal["VmHWM"] | None
    peak_pss_bytes: int | None = None
    pss_method: Literal["smaps_rollup"] | None = None


class Validity(Model):
    """Whether the minima of the configuration were met, and whether the device stayed the same while it was measured.

    Attributes:
        min_runs_met, min_seconds_met: None: another tool's, which did not tell.
        throttled: thermal status was 1 or more at either end, or a core's highest frequency was lowered meanwhile;
            None: neither can be told.
        drift: how much slower it was at the end than at the beginning, as a share of the median
            (`benchmarks.statistics.drift`); None: too few samples.
        drifted: whether that, or the last third against the first, is beyond 5 %.
    """

    min_runs_met: bool | None
    min_seconds_met: bool | None
    throttled: bool | None = None
    drift: float | None = None
    drifted: bool | None = None


class Latency(BaseRecord):
    """Latency of one inference, measured on the device in one process of the runner.

    Attributes:
        engine: the runtime that was measured, and its version, as the runner named it; None: an older record.
        config: None: another tool's, which did not tell.
        load_ms: from the model's path to a model that can answer.
        first_us: the first inference, before any warm-up.
        raw_us: samples in the order measured, microseconds; at most `RAW_LIMIT`, evenly picked.
        raw_kept: how many samples `raw_us` holds; `latency_us.count` says how many there were.
        latency_us: over all samples, warm-up excluded.
        artifact_bytes: None: another tool did not tell, or told it rounded.
        artifact_sha256: of the model file.
        repeat: which process of several that measured the same artefact, from 0.
        order: its place in the round, where several artefacts took turns; from 0.
        shuffle_seed: what the rounds were shuffled by.
        tier: of MLPerf Mobile, single stream; `default`: the minima are the user's own or edgecat's.
        conditions: state of the device.
        warm_load_ms: from the process's start to its hello, by the host's clock: file read and hashed, loaded, first
            inference, one trip over adb; the file stood in the page cache.
        cold_load_ms: the same of another process, when the model file did not stand there.
        cold_method: how it was taken out; None where it could not be.
        energy_joules: what the battery gave to the whole device meanwhile, warm-up included.
        source: the tool that measured, with its version; None: edgecat.
        reported: what that tool told, where it gave no samples.
    """

    kind: Literal["latency"] = "latency"
    artifact: str
    device_kind: DeviceKind
    engine: str | None = None
    config: LatencyConfig | None
    load_ms: float | None
    first_us: float | None
    raw_us: Annotated[list[float], Field(max_length=RAW_LIMIT)]
    raw_kept: Count
    latency_us: Distribution | None
    memory: Memory
    artifact_bytes: Count | None
    validity: Validity
    artifact_sha256: str | None = None
    repeat: Count = 0
    order: Count | None = None
    shuffle_seed: int | None = None
    tier: Tier | None = None
    conditions: Conditions | None = None
    warm_load_ms: float | None = None
    cold_load_ms: float | None = None
    cold_method: Literal["file_dropped", "caches_dropped"] | None = None
    energy_joules: float | None = None
    source: str | None = None
    reported: Reported | None = None


class Throughput(BaseRecord):
    """Images a second through the query channel: host to runner, inference one image at a time, answers back.

    Attributes:
        threads: of the runtime; None: it chooses.
        images: how many were answered within `seconds`.
        frame_images: images in one frame; the runner answers a frame as a whole.
        frames_in_flight: frames on their way at once.
        seconds: wall clock of the host, from the first frame sent to the last answer read.
        images_per_second: `images` over `seconds`.
        device_seconds: time that the device spent in inference for them; the rest is the channel.
    """

    kind: Literal["throughput"] = "throughput"
    artifact: str
    artifact_sha256: str | None = None
    device_kind: DeviceKind
    engine: str | None = None
    threads: int | None
    repeat: Count = 0
    images: Count
    frame_images: Count
    frames_in_flight: Count
    seconds: Seconds
    images_per_second: Annotated[float, Field(ge=0)]
    device_seconds: Seconds | None = None
    artifact_bytes: Count
    conditions: Conditions | None = None


class LayerTime(Model):
    """One operator of an inference, or one call of a delegate; see `edge.profiling.LayerTime`."""

    name: str
    kind: str
    scope: Literal["operator", "delegated", "delegate"]
    mean_us: Annotated[float, Field(ge=0)]
    share: float


class LayerProfile(BaseRecord):
    """Where an inference's time goes, by the runtime's own profiler; see `edge.profiling.Profile`. It is no latency."""

    kind: Literal["profile"] = "profile"
    artifact: str
    artifact_sha256: str | None = None
    device_kind: DeviceKind
    engine: str
    threads: int
    runs: Count
    counted: Count
    resolution_us: Annotated[float, Field(ge=0)]
    inference_us: Annotated[float, Field(gt=0)]
    delegates_us: float | None
    rest_us: float
    layers: list[LayerTime]

    def longest(self, count: int) -> list[LayerTime]:
        """Those layers that take longest, in the order of the inference."""
        ranked = sorted(range(len(self.layers)), key=lambda place: -self.layers[place].mean_us)
        return [self.layers[place] for place in sorted(ranked[:count])]
