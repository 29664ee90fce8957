"""What every runnable benchmark prints: one document with its context, raw figures and checks.

A check holds one measured value against one bound that an issue names. Where a run leaves something out, the check
stands there with neither value nor verdict, never as passed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from foundation import machine
from foundation.errors import ExitCode


class Check(BaseModel):
    """One bound.

    Attributes:
        name: what is bounded.
        value: what was measured; None: left out of this run.
        bound: the bound, in words (`<= 240 s`).
        ok: whether it holds; None where nothing was measured.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    value: float | None
    bound: str
    ok: bool | None


class Document(BaseModel):
    """What a benchmark prints with `--json`, one line of `benchmarks/records/NAME.jsonl`."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    benchmark: str
    quick: bool
    context: dict[str, JsonValue]
    raw: dict[str, JsonValue]
    checks: list[Check]


def at_most(name: str, value: float | None, bound: float, unit: str = "") -> Check:
    """A check that `value` <= `bound`."""
    return Check(
        name=name, value=value, bound=f"<= {bound:g} {unit}".strip(), ok=None if value is None else value <= bound
    )


def at_least(name: str, value: float | None, bound: float, unit: str = "") -> Check:
    """A check that `value` >= `bound`."""
    return Check(
        name=name, value=value, bound=f">= {bound:g} {unit}".strip(), ok=None if value is None else value >= bound
    )


def context() -> dict[str, JsonValue]:
    """Machine, date and command of this run; no name of the machine."""
    return {
        "command": ["python", "-m", *_module_and_arguments()],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": machine.processor(),
        "cores": machine.cores(),
        "load_average_before": list(os.getloadavg()),
    }


Measured = tuple[dict[str, JsonValue], list[Check]]


def main(
    name: str,
    measure: Callable[[bool], Measured],
    description: str,
    *,
    resumable: Callable[[bool, Path], Measured] | None = None,
    so_far: Callable[[Path], Measured] | None = None,
) -> int:
    """Parse `--json`, `--quick` and `--record`, measure, print; the exit code says whether every check holds.

    Args:
        name: of the benchmark.
        measure: takes `quick`, gives raw figures and checks.
        description: for `--help`.
        resumable: takes `quick` and a directory in place of `measure`, and goes on with what an earlier run left there:
            `--work` names it.
        so_far: takes that directory and gives what it holds already, without measuring: `--so-far`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="a smaller run of at most 3 minutes; the document says so")
    parser.add_argument("--record", type=Path, help="also append the document to this JSON Lines file")
    if resumable is not None:
        parser.add_argument("--work", type=Path, help="keep what is measured here, and go on with it when run again")
    if so_far is not None:
        parser.add_argument("--so-far", action="store_true", help="measure nothing more: give what --work holds")
    chosen = parser.parse_args()
    before = context()
    with _stdout_kept():
        if so_far is not None and chosen.so_far:
            if chosen.work is None:
                parser.error("--so-far wants --work")
            raw, checks = so_far(chosen.work)
        elif resumable is not None and chosen.work is not None:
            raw, checks = resumable(chosen.quick, chosen.work)
        else:
            raw, checks = measure(chosen.quick)
    document = Document(benchmark=name, quick=chosen.quick, context=before, raw=raw, checks=checks)
    if chosen.record is not None:
        with chosen.record.open("a") as stream:
            stream.write(document.model_dump_json() + "\n")
    print(json.dumps(document.model_dump(mode="json"), indent=2) if chosen.json else _table(document))
    return int(ExitCode.CHECK_FAILED if any(check.ok is False for check in checks) else ExitCode.DONE)


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Lead what libraries print from C++ to standard error: standard output is for the document."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _table(document: Document) -> str:
    verdict = {True: "ok", False: "FAILS", None: "not run"}
    rows = [
        f"{verdict[c.ok]:8}{c.name}: {'-' if c.value is None else f'{c.value:.4g}'} ({c.bound})"
        for c in document.checks
    ]
    head = f"{document.benchmark}{' (quick: smaller than the full run)' if document.quick else ''}"
    return "\n".join([head, *rows])


def _module_and_arguments() -> list[str]:
    return [f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
