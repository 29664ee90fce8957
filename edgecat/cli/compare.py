"""`edgecat compare`: two runs against each other, many runs over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned
from foundation.errors import CheckFailed, DataError, UsageError

if TYPE_CHECKING:
    from benchmarks.comparison import Comparison, Metric, Run
    from benchmarks.importers import Origin

OptionalStr = Optional[str]  # noqa: UP045
OptionalPath = Optional[Path]  # noqa: UP045


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B",
            help="Run directories, record files (.jsonl), documents of bench --json, or the output of benchmark_model, "
            "executor_runner, Minibench and litert-benchmark.",
        ),
    ],
    metric: Annotated[str, typer.Option("--metric", help="latency, accuracy, fidelity, or all.")] = "all",
    fail_on: Annotated[
        OptionalStr,
        typer.Option(
            "--fail-on",
            metavar="SHARE",
            help="Exit with 1 if something is significantly worse by more than this: 5% slower, 5 points less "
            "accurate, or 5 points easier to steal.",
        ),
    ] = None,
    between: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(
            "--between",
            metavar="A B",
            help="Two artefacts of one run against each other: names, model files, or digits of their SHA-256.",
        ),
    ] = None,
    vary: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--vary", help="A condition that may differ, as in threads or engine; repeatable."),
    ] = None,
    markdown: Annotated[
        OptionalStr,
        typer.Option("--markdown", metavar="FILE", help="Write the tables for a pull request; - prints them."),
    ] = None,
    kind: Annotated[
        OptionalStr,
        typer.Option("--kind", help="Of another tool's output: measured on a physical, emulated or embedded device."),
    ] = None,
    device: Annotated[
        OptionalStr, typer.Option("--device", help="Of another tool's output: the device, as edgecat's tables call it.")
    ] = None,
    artifact: Annotated[
        OptionalStr,
        typer.Option("--artifact", help="Of another tool's output: the artefact's name in edgecat's records."),
    ] = None,
    into: Annotated[
        OptionalPath,
        typer.Option("--into", help="Compare nothing: append what the files hold to this record file."),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Many runs over time: each against the one before, with a plot.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Directory for the plot and the table of --history.")] = Path(
        "history"
    ),
    json: options.Json = False,
) -> None:
    """Hold run B against run A: latency, accuracy, fidelity; like with like, and what is more than chance.

    Unlike conditions are refused (exit code 2). Samples of one process are no independent samples: latency is tested
    where both sides have at least 5 processes (edgecat bench --repeats). See docs/compare.md.
    """
    with Output(json) as output:
        origin = _origin(kind, device, artifact)
        metrics, bound = _metrics(metric), _share(fail_on)
        if into is not None:
            _append(runs, into, origin, output)
        elif history:
            _history(runs, out, origin, output)
        else:
            from benchmarks.comparison import compare as hold
            from benchmarks.comparison import judged

            a, b = _sides(runs, between, origin, output)
            found = hold(a, b, metrics, vary or ())
            if bound is not None:
                found = judged(found, bound)
            _show(found, markdown, output)


def _show(found: Comparison, markdown: str | None, output: Output) -> None:
    from benchmarks.comparison import table
    from foundation.files import write_text

    text = table.markdown(found)
    if markdown not in (None, "-"):
        write_text(Path(str(markdown)), text)
    output.result(found.model_dump(mode="json"), text.rstrip("\n") if markdown == "-" else _text(found))
    if found.failed:
        raise CheckFailed(f"worse than --fail-on allows: {', '.join(found.failed)}")
    if found.fail_on is not None and all(row.verdict == "not tested" for row in found.rows):
        raise DataError("--fail-on: nothing could be tested", hint=found.rows[0].reason and f"{found.rows[0].reason}")


def _text(found: Comparison) -> str:
    from benchmarks.comparison import table

    lines = [f"A: {found.a}", f"B: {found.b}"]
    for device, rows in table.by_device(found):
        lines += ["", device, *aligned([table.HEAD, *(table.cells(row) for row in rows)])]
    return "\n".join([*lines, "", *table.remarks(found), table.verdict(found)])


def _sides(
    paths: list[Path], between: tuple[str, str] | None, origin: Origin | None, output: Output
) -> tuple[Run, Run]:
    from benchmarks.comparison import between as both
    from benchmarks.comparison import load_run

    if between is not None:
        if len(paths) != 1:
            raise UsageError(f"--between is said of one run, {len(paths)} given", hint="or leave it out")
        return both(load_run(paths[0], origin, output), *between)
    if len(paths) != 2:
        raise UsageError(f"{len(paths)} runs given", hint="compare two, one with --between, or more with --history")
    a, b = (load_run(path, origin, output) for path in paths)
    return a, b


def _append(paths: list[Path], into: Path, origin: Origin | None, output: Output) -> None:
    from benchmarks import records
    from benchmarks.comparison import load_records

    found = [record for path in paths for record in load_records(path, origin, output)]
    for record in found:
        records.append(into, record)
    output.result({"records": len(found), "file": str(into)}, f"{into}: {len(found)} records more")


def _history(paths: list[Path], out: Path, origin: Origin | None, output: Output) -> None:
    from benchmarks.comparison import load_run
    from benchmarks.comparison.history import history, write

    found = history([load_run(path, origin, output) for path in paths])
    page = write(found, out)
    output.result(found.model_dump(mode="json") | {"table": str(page)}, page.read_text().rstrip("\n"))


def _origin(kind: str | None, device: str | None, artifact: str | None) -> Origin | None:
    from typing import get_args

    from benchmarks.importers import Origin
    from benchmarks.records import DeviceKind

    if kind is None:
        if device is not None or artifact is not None:
            raise UsageError("--device and --artifact are said of another tool's output", hint="add --kind")
        return None
    if kind not in get_args(DeviceKind):
        raise UsageError(f"--kind {kind}: no kind of device", hint=f"one of {', '.join(get_args(DeviceKind))}")
    return Origin(kind, device, artifact)  # type: ignore[arg-type]


def _metrics(name: str) -> tuple[Metric, ...]:
    from benchmarks.comparison import METRICS

    if name == "all":
        return METRICS
    chosen = tuple(metric for metric in METRICS if metric == name)
    if not chosen:
        raise UsageError(f"--metric {name}: no such metric", hint=f"one of {', '.join(METRICS)}, all")
    return chosen


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"--fail-on {text}: no share", hint="as in 5% or 0.05")
    return value
