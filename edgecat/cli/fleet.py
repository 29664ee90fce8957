"""`edgecat fleet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned

if TYPE_CHECKING:
    from edgecat.fleets.deploying import Deployment
    from edgecat.fleets.status import FleetStatus

app = typer.Typer(no_args_is_help=True, help="Many devices that are to have the same model; see docs/fleets.md.")

File = Annotated[Path, typer.Argument(metavar="FLEET.toml", help="The devices, and how a model's health is told.")]


@app.command("deploy")
def deploy(file: File, model: options.Model, json: options.Json = False) -> None:
    """Bring one model to all devices, check it there with known images, and let them use it together.

    Where it is unwell on more devices than max_failures, all go on with what they used before (exit code 1). A device
    that cannot be reached or written is told, and the others go on (exit code 3).
    """
    with Output(json) as output:
        from edgecat.fleets.deploying import deploy_fleet
        from edgecat.fleets.fleet_file import read_fleet
        from foundation.manifest import load_artifact

        fleet = read_fleet(file)
        deployment = deploy_fleet(fleet, load_artifact(model), output)
        output.result(deployment.model_dump(mode="json"), "\n".join(aligned(_deployed(deployment))))
        deployment.complete_or_fail()


@app.command("status")
def status(file: File, json: options.Json = False) -> None:
    """What each device has, hashed there."""
    with Output(json) as output:
        from edgecat.fleets.fleet_file import read_fleet
        from edgecat.fleets.status import look

        found = look(read_fleet(file), output)
        output.result(found.model_dump(mode="json"), "\n".join(aligned(_found(found))))
        found.complete_or_fail()


def _deployed(deployment: Deployment) -> list[list[str]]:
    rows = [["device", "state", "abi", "as expected", "former", "what went wrong"]]
    for one in deployment.devices:
        agreement = "-" if one.agreement is None else f"{one.agreement:.1%} of {deployment.images}"
        former = "-" if one.former is None else f"{one.former.name} {one.former.sha256[:8]}"
        rows.append([one.device, one.state, one.abi or "-", agreement, former, one.error or ""])
    return rows


def _found(status: FleetStatus) -> list[list[str]]:
    rows = [["device", "state", "model", "sha256", "since", "is", "abi", "what went wrong"]]
    for one in status.devices:
        active = one.active
        told = ["-"] * 3 if active is None else [active.name, active.sha256[:8], f"{active.since:%Y-%m-%d %H:%M}"]
        rows.append([one.device, one.state, *told, one.model or "-", one.abi or "-", one.error or ""])
    return rows
