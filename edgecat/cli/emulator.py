"""`edgecat emulator`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import DeviceError, UsageError

app = typer.Typer(no_args_is_help=True, help="Keep an emulated device running, for edgecat and for the real adb.")

Kind = Annotated[str, typer.Argument(help="embedded: the device side of adb in Python, on loopback, needs only pip.")]
Name = Annotated[str, typer.Option("--name", help="What to call it; several may run under different names.")]


@app.command("start")
def start(kind: Kind = "embedded", name: Name = "embedded", json: options.Json = False) -> None:
    """Start a device that keeps running; print its address and the key that it accepts."""
    if kind != "embedded":
        raise UsageError(f"no emulated device of kind {kind!r}", hint="use embedded")
    with Output(json) as output:
        from edge.devices import emulators

        record = emulators.start(name)
        host, port = record.address
        document = {
            "name": record.name,
            "spec": record.spec,
            "address": f"{host}:{port}",
            "key": str(record.key),
            "root": str(record.root),
            "pid": record.pid,
            "serial": record.serial,
        }
        output.result(
            document,
            f"{record.spec} at {host}:{port}\n"
            f"edgecat:  --device {record.spec}\n"
            f"real adb: ADB_VENDOR_KEYS={record.key} adb connect {host}:{port}",
        )


@app.command("stop")
def stop(name: Name = "embedded", json: options.Json = False) -> None:
    """Stop a device and remove its files."""
    with Output(json) as output:
        from edge.devices import emulators

        if not emulators.stop(name):
            raise DeviceError(f"no emulator {name} runs", hint="edgecat emulator list")
        output.result({"stopped": name}, f"stopped {name}")


@app.command("list")
def list_emulators(json: options.Json = False) -> None:
    """List the devices that are kept running."""
    with Output(json) as output:
        from edge.devices import emulators

        found = emulators.list_running()
        rows = [
            {"name": r.name, "spec": r.spec, "address": f"{r.address[0]}:{r.address[1]}", "pid": r.pid} for r in found
        ]
        output.result({"emulators": rows}, "\n".join(f"{r['spec']}  {r['address']}" for r in rows) or "none runs")
