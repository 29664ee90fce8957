"""`edgecat devices`: list them, pair and connect phones over Wi-Fi, push and pull files."""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned
from foundation.errors import UsageError

app = typer.Typer(help="List devices; pair and connect phones over Wi-Fi; push and pull files.")

Address = Annotated[str, typer.Argument(help="HOST[:PORT] of the phone; port 5555 if none is given.")]


@app.callback(invoke_without_command=True)
def devices(
    context: typer.Context,
    scan: Annotated[
        bool, typer.Option("--scan", help="Start an adb server where none runs, to see phones. It goes on running.")
    ] = False,
    json: options.Json = False,
) -> None:
    """List the devices that can be used and what is in the way of others; or see the commands below."""
    if context.invoked_subcommand is not None:
        if json:
            raise UsageError("--json stands behind the command", hint="edgecat devices COMMAND … --json")
        return
    with Output(json) as output:
        from edge.adb.program import ensure_server
        from edge.devices.listing import list_devices, server_note

        if scan:
            ensure_server()
        found = list_devices()
        note = server_note()
        rows = [("SPEC", "KIND", "STATE", "ABI", "ANDROID", "MODEL")]
        rows += [(d.spec, d.kind or "-", d.state, d.abi or "-", d.os_version or "-", d.model or "-") for d in found]
        lines = aligned(rows)
        lines += [f"  {device.spec}: {device.hint}" for device in found if device.hint]
        lines += [note] if note else []
        output.result({"devices": [asdict(device) for device in found], "note": note}, "\n".join(lines))


@app.command("pair")
def pair(
    address: Annotated[str, typer.Argument(help="HOST:PORT that the phone's pairing dialogue shows.")],
    code: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="The code that it shows; asked for where it is not given."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Pair with a phone over Wi-Fi (Developer options → Wireless debugging → Pair device with pairing code).

    Goes through the adb server, which is started where none runs. Then connect: to the other port that the phone shows.
    """
    with Output(json) as output:
        from edge.adb import pairing

        address = pairing.parse_address(address)
        said = pairing.pair(address, code if code is not None else _ask_for_code(address))
        output.result({"address": address, "said": said}, f"{said}\nnow: edgecat devices connect HOST:PORT")


@app.command("connect")
def connect(address: Address, json: options.Json = False) -> None:
    """Connect to a phone over Wi-Fi through the adb server, which is started where none runs."""
    with Output(json) as output:
        from edge.adb import pairing

        serial = pairing.connect(address)
        output.result({"spec": f"serial:{serial}"}, f"connected: --device serial:{serial}")


@app.command("disconnect")
def disconnect(address: Address, json: options.Json = False) -> None:
    """Let a phone over Wi-Fi go."""
    with Output(json) as output:
        from edge.adb import pairing

        pairing.disconnect(address)
        output.result({"disconnected": address}, f"disconnected {address}")


@app.command("push")
def push(
    local: Annotated[Path, typer.Argument(help="A file, or a directory with everything in it.")],
    remote: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="What it shall be called there. Default: its own name below edgecat's directory."),
    ] = None,
    device: options.DeviceSpec = None,
    key: options.Key = None,
    json: options.Json = False,
) -> None:
    """Bring files to a device: whole, verified there by SHA-256; what it has already is not sent again."""
    with Output(json) as output:
        from edge.adb.directories import Transfer, push_directory
        from edge.devices.opening import open_device

        if not local.exists():
            raise UsageError(f"cannot read {local}: no such file or directory")
        with open_device(device, key) as opened:
            target = remote or f"{opened.info.workdir}/{local.resolve().name}"
            if local.is_dir():
                done = push_directory(opened.adb, local, target, output)
            else:
                mode = local.stat().st_mode & 0o777
                size = local.stat().st_size
                sent = opened.adb.push_verified(local, target, mode, output)
                done = Transfer(1, size, int(sent), size if sent else 0)
            for line in done.skipped:
                output.say(f"skipped {line}")
            output.result(
                {"device": opened.info.spec, "path": target} | asdict(done), f"{opened.info.spec}: {target} ({done})"
            )


@app.command("pull")
def pull(
    remote: Annotated[str, typer.Argument(help="A file or directory on the device.")],
    local: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="What it shall be called here. Default: its own name."),
    ] = None,
    device: options.DeviceSpec = None,
    key: options.Key = None,
    json: options.Json = False,
) -> None:
    """Fetch files from a device: whole, compared by SHA-256; what is here already is not fetched again."""
    with Output(json) as output:
        from edge.adb.pulling import pull_directory, pull_file
        from edge.devices.opening import open_device

        place = local or Path(remote.rstrip("/").rpartition("/")[2] or ".")
        with open_device(device, key) as opened:
            found = opened.adb.stat(remote)
            fetch = pull_directory if found is not None and found.is_directory else pull_file
            done = fetch(opened.adb, remote, place, output)
            for line in done.skipped:
                output.say(f"skipped {line}")
            output.result({"device": opened.info.spec, "path": str(place)} | asdict(done), f"{place} ({done})")


def _ask_for_code(address: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("no pairing code", hint=f"edgecat devices pair {address} CODE")
    try:
        return getpass.getpass(f"Pairing code for {address}: ")
    except EOFError as error:
        raise UsageError("no pairing code", hint=f"edgecat devices pair {address} CODE") from error
