"""`edgecat devices` and `edgecat doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import ExitCode


def devices(json: options.Json = False) -> None:
    """List the devices that can be used: embedded, kept-running emulators, and what the adb server sees."""
    with Output(json) as output:
        from edge.devices.listing import list_devices, server_note

        found = list_devices()
        note = server_note()
        rows = [("SPEC", "KIND", "STATE", "ABI", "ANDROID", "MODEL")]
        rows += [(d.spec, d.kind or "-", d.state, d.abi or "-", d.os_version or "-", d.model or "-") for d in found]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"  {device.spec}: {device.hint}" for device in found if device.hint]
        lines += [note] if note else []
        output.result({"devices": [asdict(device) for device in found], "note": note}, "\n".join(lines))


def doctor(json: options.Json = False) -> None:
    """Check this machine: what is there, what is missing, and the command that brings it."""
    with Output(json) as output:
        from edgecat.diagnosis import diagnose

        checks = diagnose()
        lines = [f"{'ok' if c.ok else 'missing' if c.needed else 'absent':8}{c.name}: {c.found}" for c in checks]
        lines = [line + (f"  → {c.hint}" if c.hint and not c.ok else "") for line, c in zip(lines, checks, strict=True)]
        output.result({"checks": [asdict(check) for check in checks]}, "\n".join(lines))
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(int(ExitCode.CHECK_FAILED))
