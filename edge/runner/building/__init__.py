"""Builds the native runners, and keeps what was built.

See `build` for one, `missing` for what this machine lacks, `list_built` for what is kept. What a built runner looks
like to a device is in `edge/runner/packages.py`.
"""

from __future__ import annotations

from edge.runner.building.builder import build
from edge.runner.building.missing import Missing, missing
from edge.runner.building.record import BuiltRunner, list_built
from edge.runner.building.targets import ABIS, ENGINES, RUNTIMES, Abi, Target, make_target

__all__ = [
    "ABIS",
    "ENGINES",
    "RUNTIMES",
    "Abi",
    "BuiltRunner",
    "Missing",
    "Target",
    "build",
    "list_built",
    "make_target",
    "missing",
]
