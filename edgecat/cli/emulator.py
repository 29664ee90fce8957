"""`edgecat emulator`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from edge.devices.emulator_records import EmulatorRecord

app = typer.Typer(no_args_is_help=True, help="Keep an emulated device running, for edgecat and for the real adb.")

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

Device = Annotated[
    str,
    typer.Argument(
        help="embedded: the device side of adb in Python, on loopback, needs only pip. sandbox:x86_64, "
        "sandbox:arm64-v8a: Android's own adbd in namespaces. vm:arm64-v8a: a virtual machine with a kernel of its own."
    ),
]
Name = Annotated[
    Optional[str],  # noqa: UP045 - read at run time by Typer, also on 3.10
    typer.Option("--name", help="What to call it; several may run under different names. Default: the device's own."),
]
Port = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Listen on 127.0.0.1 for other adb clients; 0 takes any free port. The adbd of sandbox and vm demands no "
        "key: with a port, every user of this computer has a shell on the device. They listen on none unless told to.",
        show_default=False,
    ),
]
DataSize = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--data-size", help="Size of /data on sandbox and vm, as in 64M or 1G."),
]
Memory = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--memory", help="Memory of a vm, as in 256M. Default: 512M.", show_default=False),
]
PageSize = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--page-size", help="4k or 16k: pages of a vm's kernel. Default: 4k.", show_default=False),
]


@app.command("build")
def build(device: Device, page_size: PageSize = None, json: options.Json = False) -> None:
    """Fetch and build what a sandbox or vm is made of, once, into the cache; no root is needed."""
    with Output(json) as output:
        from edge.devices import isolated

        options = isolated.StartOptions(page_bytes=_bytes(page_size))
        if device != "embedded":
            isolated.build(device, options, output)
        output.result({"built": device}, f"built {device}" if device != "embedded" else "embedded needs no build")


@app.command("start")
def start(
    device: Device = "embedded",
    name: Name = None,
    port: Port = None,
    data_size: DataSize = None,
    memory: Memory = None,
    page_size: PageSize = None,
    json: options.Json = False,
) -> None:
    """Start a device that keeps running; print how to reach it."""
    with Output(json) as output:
        from edge.devices import emulators, isolated

        chosen = isolated.StartOptions(port, _bytes(data_size), _bytes(memory), _bytes(page_size))
        if device != "embedded":
            isolated.build(device, chosen, output)
        before = emulators.list_running()
        record = emulators.start(name, device, chosen)
        if record in before and chosen != isolated.StartOptions():
            output.say(f"{record.spec} runs already, as it was started: to change that, stop it first")
        output.result(_document(record), "\n".join(_lines(record)))


@app.command("stop")
def stop(
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Its name, or what was started: sandbox:x86_64. Default: embedded.", show_default=False),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--name", help="Its name, where it was started with one.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Stop a device and remove its files."""
    with Output(json) as output:
        from edge.devices import emulators

        chosen = name or (device or "embedded").removeprefix("emulator:").replace(":", "-")
        if not emulators.stop(chosen):
            raise DeviceError(f"no emulator {chosen} runs", hint="edgecat emulator list")
        output.result({"stopped": chosen}, f"stopped {chosen}")


@app.command("list")
def list_emulators(json: options.Json = False) -> None:
    """List the devices that are kept running."""
    with Output(json) as output:
        from edge.devices import emulators

        found = [_document(record) for record in emulators.list_running()]
        lines = [f"{one['spec']}  {one['device']}  {one['address'] or 'no port'}" for one in found]
        output.result({"emulators": found}, "\n".join(lines) or "none runs")


def _document(record: EmulatorRecord) -> dict[str, Any]:
    address = f"{record.address[0]}:{record.address[1]}" if record.address else None
    kept = {name: value for name, value in record.document().items() if name != "directory"}
    return kept | {"spec": record.spec, "address": address}


def _lines(record: EmulatorRecord) -> list[str]:
    lines = [f"{record.spec} ({record.device})", f"edgecat:  --device {record.spec}"]
    if record.address:
        host, port = record.address
        key = f"ADB_VENDOR_KEYS={record.key} " if record.key else ""
        lines.append(f"real adb: {key}adb connect {host}:{port}")
        lines += [] if record.key else ["beware: every user of this computer can connect there, no key is asked for"]
    else:
        lines.append("real adb: none can connect; start it with --port 0")
    return lines


def _bytes(size: str | None) -> int | None:
    if size is None:
        return None
    match = re.fullmatch(r"(\d+)([kmg]?)b?", size.strip().lower())
    if not match or not int(match[1]):
        raise UsageError(f"{size!r} is no size", hint="write it as in 64M or 1G")
    return int(match[1]) * _UNITS[match[2]]
