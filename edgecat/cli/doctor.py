"""`edgecat doctor`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import ExitCode

if TYPE_CHECKING:
    from edgecat.diagnosis import Check


def doctor(json: options.Json = False) -> None:
    """Check this machine: what is there, what is missing, and the command that brings it."""
    with Output(json) as output:
        from edgecat.diagnosis import diagnose

        checks = diagnose()
        lines = []
        for section, found in groupby(checks, lambda check: check.section):
            lines += [section, *(f"  {_line(check)}" for check in found)]
        output.result({"checks": [asdict(check) for check in checks]}, "\n".join(lines))
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(int(ExitCode.CHECK_FAILED))


def _line(check: Check) -> str:
    state = "ok" if check.ok else "missing" if check.needed else "absent"
    return f"{state:8}{check.name}: {check.found}" + (f"  → {check.hint}" if check.hint and not check.ok else "")
