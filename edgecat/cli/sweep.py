"""`edgecat sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned
from foundation.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecat.sweeps.jobs import Job
    from edgecat.sweeps.telling import SweepSummary


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="Settings and a grid; see docs/fleets.md.")],
    out: Annotated[
        Optional[Path],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option("--out", help="Where jobs stand. Default: sweeps/NAME of the file.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sweep that was begun; without it the same, or a new one.")
    ] = False,
    address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--address", help="Of a Ray cluster, HOST:PORT or auto. Default: this machine.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--workers", min=1, help="Jobs at once. Default: one for each core.", show_default=False),
    ] = None,
    serial: Annotated[bool, typer.Option("--serial", help="Without Ray: one job after the other.")] = False,
    retries: Annotated[
        int, typer.Option("--retries", min=0, help="Of a job whose worker was killed or whose device came back.")
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the jobs and what is done; do nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Do a grid of runs, each once: victims, recipes, devices, pools, strategies, seeds.

    Every job is a run directory, DIR/jobs/KEY, which report and compare read. Killed, interrupted or restarted, the
    same command goes on: what is done is not done again, in this sweep or another one with the same --out. Wants
    pip install 'edgecat[fleet]', unless --serial.
    """
    with Output(json) as output:
        from edgecat.sweeps.running import Means, plan, run_sweep

        directory = out or Path("sweeps") / file.stem
        jobs = plan(file)
        if resume and not (directory / "jobs").is_dir():
            raise UsageError(f"no sweep to resume in {directory}", hint="leave out --resume, or name it with --out")
        means = Means(workers, address, serial, retries)
        summary = _planned(jobs, directory) if dry_run else run_sweep(jobs, directory, means, output)
        from edgecat.sweeps.telling import table

        output.result(summary.model_dump(mode="json"), "\n".join(aligned(table(summary))))
        if not dry_run:
            summary.complete_or_fail()


def _planned(jobs: Sequence[Job], directory: Path) -> SweepSummary:
    from edgecat.sweeps.places import SweepDirectory
    from edgecat.sweeps.telling import summarise

    return summarise(SweepDirectory(directory), jobs, {}, 0.0)
