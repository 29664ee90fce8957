"""`edgecat bench`: latency, loading, memory and throughput of models on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned

if TYPE_CHECKING:
    from benchmarks.records import Latency, LayerProfile
    from edge.runner.messages import BenchmarkRequest
    from edgecat.stages.bench import Measured
    from foundation.manifest import Artifact

TierName = Literal["default", "normal", "quick", "rapid"]
# Layers of a profile.
_TOLD = 12
_MORE = ("cold/warm ms", "RSS/PSS MB", "images/s")
OptionalInt = Optional[int]  # noqa: UP045
OptionalFloat = Optional[float]  # noqa: UP045
OptionalPath = Optional[Path]  # noqa: UP045


def bench(
    models: Annotated[list[Path], typer.Argument(help="One or more .tflite or .pte files, manifests beside them.")],
    device: options.DeviceSpec = None,
    key: options.Key = None,
    threads: options.Threads = 1,
    runner: options.Runner = "auto",
    runtime: options.Runtime = None,
    cpus: options.Cpus = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Processes for each model, in random turns.")] = 3,
    tier: Annotated[
        TierName,
        typer.Option(
            "--tier",
            metavar="TIER",
            help="default, or as long as MLPerf Mobile's single stream: normal 60 s, quick 10 s, rapid 6 s.",
        ),
    ] = "default",
    warmup: Annotated[
        OptionalInt,
        typer.Option("--warmup", min=0, help="Inferences before the samples. Default: 20.", show_default=False),
    ] = None,
    min_runs: Annotated[
        OptionalInt,
        typer.Option("--min-runs", min=1, help="At least this many samples… Default: 200.", show_default=False),
    ] = None,
    min_seconds: Annotated[
        OptionalFloat,
        typer.Option("--min-seconds", min=0, help="…and at least this long. Default: 1.", show_default=False),
    ] = None,
    max_seconds: Annotated[
        OptionalFloat,
        typer.Option("--max-seconds", min=0, help="But stop after this long. Default: 30.", show_default=False),
    ] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Also ask about many images at once through the query channel.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Also tell where an inference's time goes, layer by layer (docs/profile.md)."),
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Look at PSS in a process that is not timed.")
    ] = True,
    max_temperature: Annotated[
        OptionalFloat,
        typer.Option(
            "--max-temperature",
            help="Before each measurement wait until the battery is at so many °C or below.",
            show_default=False,
        ),
    ] = None,
    gate_seconds: Annotated[
        float, typer.Option("--gate-seconds", min=0, help="But wait no longer than this; the record says so.")
    ] = 1800.0,
    fixed_performance: Annotated[
        bool,
        typer.Option(
            "--fixed-performance", help="Hold the clocks (phones since Android 11 that can); afterwards it is off."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order in which several models take turns.")] = 0,
    out: Annotated[
        OptionalPath, typer.Option("--out", help="Append every record to this .jsonl file as soon as it is there.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Time single inferences inside the runner on the device: p50, p90, p99, loading, memory; and throughput.

    What exactly is counted: docs/benchmarking.md.
    """
    with Output(json) as output:
        from benchmarks import records
        from edge.deployment import RunnerOptions
        from edge.devices.opening import open_device
        from edgecat.stages import bench as stage
        from foundation.manifest import load_artifact

        own = {"warmup_runs": warmup, "min_runs": min_runs, "min_seconds": min_seconds, "max_seconds": max_seconds}
        plan = stage.BenchPlan(
            request=_request(tier, own),
            tier=tier,
            repeats=repeats,
            seed=seed,
            serving=RunnerOptions(runner, runtime, threads, cpus),
            memory=memory,
            throughput=throughput,
            profile=profile,
            max_temperature_c=max_temperature,
            gate_seconds=gate_seconds,
            fixed_performance=fixed_performance,
        )
        artifacts = [load_artifact(model) for model in models]
        found: list[stage.Measured] = []
        with open_device(device, key) as opened:
            for record in stage.bench(opened, artifacts, plan, output):
                if out is not None:
                    records.append(out, record)
                found.append(record)
        output.result(_document(artifacts, found), _text(artifacts, found))


def _request(tier: TierName, own: dict[str, Any]) -> BenchmarkRequest:
    """The tier's, or the user's own numbers over the default's."""
    from dataclasses import replace

    from edgecat.stages.bench import TIERS
    from foundation.errors import UsageError

    given = {name: value for name, value in own.items() if value is not None}
    if given and tier != "default":
        words = ", ".join("--" + name.replace("warmup_runs", "warmup").replace("_", "-") for name in given)
        raise UsageError(f"--tier {tier} says how long to measure; {words} would make it another", hint="leave one out")
    return replace(TIERS[tier], **given)


def _repeats(artifact: Artifact, found: list[Measured]) -> list[Latency]:
    from benchmarks.records import Latency

    return [r for r in found if isinstance(r, Latency) and r.artifact_sha256 == artifact.manifest.sha256]


def _document(artifacts: list[Artifact], found: list[Measured]) -> dict[str, Any]:
    from benchmarks.repeats import pooled, spread

    together = []
    for artifact in artifacts:
        repeats = _repeats(artifact, found)
        one = pooled(repeats).model_dump(mode="json", exclude={"raw_us", "raw_kept", "repeat", "order", "conditions"})
        together.append({"model": str(artifact.path), "repeats": len(repeats), "spread": spread(repeats)} | one)
    return {
        "context": next(r.model_dump(mode="json") for r in found if r.kind == "context"),
        "device": next(r.model_dump(mode="json") for r in found if r.kind == "device"),
        "latencies": [r.model_dump(mode="json") for r in found if r.kind == "latency"],
        "pooled": together,
        "throughputs": [r.model_dump(mode="json") for r in found if r.kind == "throughput"],
        "profiles": [r.model_dump(mode="json") for r in found if r.kind == "profile"],
    }


def _text(artifacts: list[Artifact], found: list[Measured]) -> str:
    """A table: a line for each model, and a word on each flag."""
    rows = [["model", "engine", "p50 µs", "p90 µs", "p99 µs", "spread", "load ms", *_MORE]]
    flags = []
    for artifact in artifacts:
        repeats = _repeats(artifact, found)
        rates = [r for r in found if r.kind == "throughput" and r.artifact_sha256 == artifact.manifest.sha256]
        rows.append(_row(repeats, rates[0].images_per_second if rates else None))
        flags += [f"{one.artifact}, repeat {one.repeat + 1}: {word}" for one in repeats for word in _flags(one)]
    device, one = next(r for r in found if r.kind == "device"), _repeats(artifacts[0], found)
    processes = "1 process" if len(one) == 1 else f"{len(one)} processes"
    head = f"{device.spec} ({device.device_kind}), {processes} each, tier {one[0].tier}"
    profiles = [line for record in found if record.kind == "profile" for line in _layers(record)]
    return "\n".join([head, *aligned(rows), *flags, *profiles])


def _layers(profile: LayerProfile) -> list[str]:
    """The layers that take longest, in the order of the inference."""
    longest = profile.longest(_TOLD)
    rows = [[f"{layer.mean_us:.1f}", f"{layer.share:.0%}", layer.name or layer.kind] for layer in longest]
    return ["", f"{profile.artifact}: µs and share of its longest layers", *aligned(rows)]


def _row(repeats: list[Latency], rate: float | None) -> list[str]:
    from benchmarks.repeats import pooled, spread

    one, apart = pooled(repeats), spread(repeats)
    numbers, memory = one.latency_us, one.memory
    percentiles = [f"{q:.0f}" for q in (numbers.p50, numbers.p90, numbers.p99)] if numbers else ["-"] * 3
    return [
        one.artifact,
        one.engine or "-",
        *percentiles,
        "-" if apart is None else f"{apart:.1%}",
        _or_dash(one.load_ms, ".1f"),
        f"{_or_dash(one.cold_load_ms, '.0f')}/{_or_dash(one.warm_load_ms, '.0f')}",
        f"{_or_dash(memory.peak_rss_bytes, '.1f', 1e6)}/{_or_dash(memory.peak_pss_bytes, '.1f', 1e6)}",
        _or_dash(rate, ".0f"),
    ]


def _flags(one: Latency) -> list[str]:
    valid = one.validity
    gate = one.conditions and one.conditions.gate
    told = {
        "fewer samples than asked for": not valid.min_runs_met,
        "shorter than asked for": not valid.min_seconds_met,
        "throttled": valid.throttled,
        f"drifted by {valid.drift or 0:+.0%} from beginning to end": valid.drifted,
        "hotter than the gate allows": gate and gate.timed_out,
    }
    return [word for word, holds in told.items() if holds]


def _or_dash(value: float | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else format(value / unit, form)
