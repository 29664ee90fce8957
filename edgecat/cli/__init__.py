"""The command line. Commands import what they need when they run: `--help` and `devices` never wait for torch."""

from __future__ import annotations

from typing import Annotated

import typer

from edgecat import __version__
from edgecat.cli import (
    bench,
    compare,
    data,
    defend,
    devices,
    doctor,
    emulator,
    export,
    fleet,
    inspect,
    run,
    runner,
    stages,
    sweep,
)

# Click's UsageError. Newer Typers carry Click under a private name; a public child of it gives it away in all.
WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Measure how much of a medical CNN can be copied through the device that runs it.\n\n"
        "The road: train → export → push → query → attack → report. `edgecat run` walks all of it; every stage also "
        "runs alone, on your own files.\n\n"
        "For models that you own or are allowed to test.\n\n"
        "Exit codes: 0 done · 1 a check failed · 2 wrong usage or settings · 3 device · 4 artefact or data · "
        "5 budget spent · 130 interrupted."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgecat {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options that stand before any command."""


app.command("run")(run.run)
app.add_typer(devices.app, name="devices")
app.command("doctor")(doctor.doctor)
app.command("train")(stages.train)
app.command("export")(export.export)
app.command("inspect")(inspect.inspect)
app.command("push")(stages.push)
app.command("query")(stages.query)
app.command("attack")(stages.attack)
app.command("bench")(bench.bench)
app.command("report")(run.report)
app.command("compare")(compare.compare)
app.command("sweep")(sweep.sweep)
app.add_typer(data.app, name="data")
app.add_typer(defend.app, name="defend")
app.add_typer(emulator.app, name="emulator")
app.add_typer(fleet.app, name="fleet")
app.add_typer(runner.app, name="runner")
