"""Two runs, like with like: what is slower, less accurate or easier to steal, and whether that is more than chance.

docs/compare.md says what is held against what, and why the process is the unit of latency.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import numpy as np

from benchmarks.comparison import latency, shares
from benchmarks.comparison.conditions import NAMES, notes
from benchmarks.comparison.loading import Run, load_records, load_run
from benchmarks.comparison.pairing import Measured, Pairs, pair
from benchmarks.comparison.rows import METRICS, Comparison, Metric, Row, judged
from benchmarks.comparison.within import between
from foundation.errors import UsageError

__all__ = ["METRICS", "Comparison", "Metric", "Row", "Run", "between", "compare", "judged", "load_records", "load_run"]

_M = TypeVar("_M", bound=Measured)


def compare(
    a: Run, b: Run, metrics: Collection[Metric] = METRICS, vary: Collection[str] = (), seed: int = 0
) -> Comparison:
    """Hold run B against run A. The same records and seed give the same document.

    Args:
        metrics: what is compared.
        vary: conditions that may differ, of `conditions.NAMES`; the kind of device never may.
        seed: of the bootstrap.

    Raises:
        UsageError: an unknown condition, nothing in common, or something that both have under unlike conditions only.
        DataError: records that contradict each other.
    """
    _check(vary)
    generator = np.random.default_rng(seed)
    gathered: list[Pairs[Measured]] = []
    rows: list[Row] = []

    def gather(
        of_a: list[_M], of_b: list[_M], row: Callable[[_M, _M, list[str], np.random.Generator], Row | None]
    ) -> None:
        pairs = pair(of_a, of_b, vary)
        gathered.append(pairs)  # type: ignore[arg-type]
        made = [row(x, y, notes(x.conditions, y.conditions, vary), generator) for x, y in pairs.found]
        rows.extend(one for one in made if one is not None)

    if "latency" in metrics:
        gather(*_renamed(latency.series_of(a.held), latency.series_of(b.held)), latency.row)
    if "accuracy" in metrics:
        # One run's victim against itself is no comparison.
        whole = a.held.victim is not b.held.victim
        gather(shares.accuracies_of(a.held, whole), shares.accuracies_of(b.held, whole), shares.accuracy_row)
    if "fidelity" in metrics:
        gather(shares.fidelities_of(a.held), shares.fidelities_of(b.held), shares.fidelity_row)
    _demand(a, b, gathered, rows)
    return Comparison(
        a=a.name,
        b=b.name,
        rows=rows,
        only_a=list(dict.fromkeys(what for pairs in gathered for what in pairs.only_a)),
        only_b=list(dict.fromkeys(what for pairs in gathered for what in pairs.only_b)),
    )


def _check(vary: Collection[str]) -> None:
    for name in vary:
        if name not in NAMES:
            raise UsageError(f"--vary {name}: no such condition", hint=f"one of {', '.join(NAMES)}")


def _renamed(a: list[latency.Series], b: list[latency.Series]) -> tuple[list[latency.Series], list[latency.Series]]:
    """Another tool calls the one artefact that it measured by its file's name: then both are the one there is."""
    names_a, names_b = {one.what for one in a}, {one.what for one in b}
    foreign = any(record.source for one in (*a, *b) for record in one.records)
    if foreign and len(names_a) == len(names_b) == 1 and names_a != names_b:
        name = f"{names_a.pop()} / {names_b.pop()}"
        a, b = ([latency.Series(name, one.conditions, one.records) for one in side] for side in (a, b))
    return a, b


def _demand(a: Run, b: Run, gathered: list[Pairs[Measured]], rows: list[Row]) -> None:
    refused = [reason for pairs in gathered for reason in pairs.refused]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise UsageError(
            f"{a.name} and {b.name} were measured under unlike conditions: {refused[0]}{more}",
            hint="measure again under the same ones; --vary CONDITION lets one differ, --metric leaves metrics out",
        )
    if not rows:
        raise UsageError(
            f"{a.name} and {b.name} have nothing in common that can be compared",
            hint="artefacts are matched by name; --artifact names what another tool measured",
        )
