"""`edgecat doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import ExitCode


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
