"""`edgecat run` and `edgecat report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import DataError, EdgecatError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecat.directory import RunDirectory
    from edgecat.settings import RunSettings

Repeated = Optional[list[str]]  # noqa: UP045


def run(
    context: typer.Context,
    data: options.Data = "phantom",
    device: options.DeviceSpec = None,
    runtime: Annotated[
        Repeated,
        typer.Option(
            "--runtime",
            help="tflite or executorch; repeatable. Default: both. tflite-legacy in place of tflite: the same files, "
            "answered for by tflite-runtime 2.14 (edgecat runner legacy sets it up).",
        ),
    ] = None,
    precision: Annotated[Repeated, typer.Option("--precision", help="fp32 or int8; repeatable. Default: both.")] = None,
    recipe: Annotated[
        Repeated,
        typer.Option(
            "--recipe",
            help="An export recipe in place of a precision (edgecat export --list), or all; repeatable.",
        ),
    ] = None,
    target: Annotated[
        Repeated,
        typer.Option(
            "--target",
            help="An artefact that thieves go for, by its recipe, or all: does a precision make a model harder to "
            "steal? Repeatable. Default: one, tflite_int8 if it is exported.",
        ),
    ] = None,
    pool: options.Pools = None,
    resize: options.Resize = False,
    strategy: options.Strategies = None,
    baseline: options.Baseline = True,
    gains: options.Gains = True,
    budgets: options.Budgets = None,
    answers: options.Answers = "label",
    seeds: options.Seeds = 3,
    seed: options.Seed = 0,
    thief_seed: options.ThiefSeed = None,
    architecture: options.Architecture = "residual",
    thief: options.Thief = "stacked",
    learner: options.Learner = "supervised",
    effort: options.Effort = 0.4,
    epochs: options.Epochs = None,
    threads: options.Threads = 1,
    runner: options.Runner = "auto",
    cpus: options.Cpus = None,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Run directory. Default: runs/DATE-TIME.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out (default: the newest), as it was set up.")
    ] = False,
    quick: options.Quick = False,
    json: options.Json = False,
) -> None:
    """Walk the whole road: train, export, push, query, steal, report.

    Everything goes into one run directory: run.toml, victim/, artifacts/, ledger.sqlite, results.jsonl, report.html,
    report.md. A run that was killed goes on with --resume: nothing is trained, exported or asked twice.
    """
    values = {name: value for name, value in context.params.items() if name not in ("out", "resume", "json")}
    if not _was_given(context, "seeds"):
        # Left to the settings: a quick run has fewer.
        del values["seeds"]
    if resume:
        _refuse_settings(context)
    with Output(json) as output:
        from edgecat.directory import open_directory, resume_directory

        if resume:
            directory, settings = resume_directory(out)
        else:
            settings = _settings(values)
            directory = open_directory(out, settings)
        output.say(f"run directory {directory.path}")
        # Late: a wrong setting is told before torch is loaded.
        from edgecat.pipeline import run as walk

        try:
            summary = walk(settings, directory, output)
        except EdgecatError:
            if not resume:
                directory.forget_unbegun()
            raise
        output.result(summary.model_dump(mode="json"), f"report: {summary.report}")


def _settings(values: dict[str, object]) -> RunSettings:
    from edge.devices.spec import parse_spec
    from edgecat.settings import make_settings, parse_budgets

    renamed = {
        "runtime": "runtimes",
        "precision": "precisions",
        "recipe": "recipes",
        "target": "targets",
        "pool": "pools",
        "strategy": "strategies",
    }
    given = {renamed.get(name, name): value for name, value in values.items() if value not in (None, [], ())}
    given["device"] = str(parse_spec(None if given.get("device") is None else str(given["device"])))
    if "budgets" in given:
        given["budgets"] = parse_budgets(list(map(str, values["budgets"])))  # type: ignore[call-overload]
    return make_settings(**given)


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_settings(context: typer.Context) -> None:
    """A resumed run keeps its settings: an option that would change them is a mistake."""
    for name in context.params:
        if name in ("out", "resume", "json"):
            continue
        if _was_given(context, name):
            raise UsageError(
                f"--resume takes its settings from run.toml, --{name.replace('_', '-')} cannot change them",
                hint="leave it out, or start a new run",
            )


def report(
    directory: Annotated[Path, typer.Argument(help="A run directory, or one with a results.jsonl.")],
    json: options.Json = False,
) -> None:
    """Make the report of a run again from its records: report.html, report.md and the plots."""
    with Output(json) as output:
        from benchmarks import records
        from benchmarks.report import write_report
        from benchmarks.summary import summarise
        from edgecat.directory import RunDirectory
        from edgecat.stages.queried import load_queried
        from edgecat.stages.readings import load_readings

        place = RunDirectory(directory)
        if not place.results.is_file():
            raise DataError(f"{directory} has no {place.results.name}", hint="name the directory of a run")
        found = records.read(place.results, output)
        sheet, summary = _contact_sheet(place, output), summarise(found)
        page = write_report(found, directory, sheet, load_queried(directory), load_readings(directory), summary)
        output.result(summary.reported(page).model_dump(mode="json"), f"report: {page}")


def _contact_sheet(place: RunDirectory, output: Output) -> dict[str, NDArray[np.uint8]] | None:
    """The data set's test images by class, where the run says which data set it was and it is still there."""
    from edgecat.settings import load_settings
    from edgecat.stages.data import contact_sheet, load_dataset

    try:
        return contact_sheet(load_dataset(load_settings(place.settings), output))
    except EdgecatError as error:
        output.say(f"no contact sheet: {error.message}")
        return None
