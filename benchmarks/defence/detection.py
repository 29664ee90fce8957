"""Queries until a detector's alarm for every strategy, and false alarms on patients."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import JsonValue

from benchmarks.command import run_edgecat
from benchmarks.kept import known, once
from benchmarks.theft.thefts import Data
from foundation.files import file_name

Raw = dict[str, JsonValue]

# Each pool with its strategies; substitutes learn for a fifth as long as in an attack at full strength.
THIEVES = {
    "npd": ("random",),
    "pd:100": ("amplify", "amplify:entropy"),
    "proxy": ("random", "balanced", "entropy", "kcenter", "dfal_kcenter", "knockoff", "marich", "jbda"),
    "none": ("datafree",),
}
QUERIES, EFFORT = "2k", "0.2"


def measure(data: Data, model: Path, work: Path, quick: bool) -> None:
    """Attack with every strategy, then replay the ledgers under the eyes of the detectors."""
    for pool, strategies in ({"npd": ("random",)} if quick else _pools(data)).items():
        make = partial(_measured, data, model, pool, strategies, work, quick)
        once(work / data.name, _name(pool), make)


def collected(data: Data, work: Path) -> Raw | None:
    """By pool, what `work` holds; None: nothing yet."""
    return {pool: found for pool in _pools(data) if (found := known(work / data.name, _name(pool)))} or None


def _pools(data: Data) -> dict[str, tuple[str, ...]]:
    return {pool: names for pool, names in THIEVES.items() if pool != "proxy" or data.name == "phantom"}


def _name(pool: str) -> str:
    return f"detection {pool}"


def _measured(data: Data, model: Path, pool: str, strategies: tuple[str, ...], work: Path, quick: bool) -> Raw:
    queries, seeds, effort, streams = ("250", "1", "0.05", "10") if quick else (QUERIES, "3", EFFORT, "100")
    out = str(work / data.name / file_name("detection", pool))
    words = [word for name in strategies for word in ("--strategy", name)]
    size = ["--budgets", queries, "--seeds", seeds, "--effort", effort]
    place = ["--data", data.source, "--pool", pool, "--out", out, "--no-gains", "--no-baseline"]
    run_edgecat(["attack", str(model), *place, *size, *words])
    checkpoint = str(work / data.name / "victim.safetensors")
    return run_edgecat(["defend", "detect", out, "--checkpoint", checkpoint, "--streams", streams])
