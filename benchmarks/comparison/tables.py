"""Tables of how right our latency is and what `compare` misses, from the document of `benchmarks.latency_agreement`."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.markdown import table

Document = dict[str, Any]


def agreement(document: Document) -> str:
    """Our median of each file beside that of the runtime's own way to time it."""
    rows = []
    for name, one in document["raw"]["latency"].items():
        if not isinstance(one, dict):
            continue
        ours, theirs, (low, high) = median(one["ours_us"]), median(one["theirs_us"]), one["ratio_ci"]
        rows.append([name, f"{ours:,.1f}", f"{theirs:,.1f}", f"{one['ratio']:.3f}", f"{low:.3f}–{high:.3f}"])
    return table(("file", "ours, µs", "the runtime's own, µs", "ours / theirs", "95 %"), rows, 1)


def power(document: Document) -> str:
    """Pairs of runs, and of how many `compare` told a difference."""
    found = document["raw"]["compare"]
    rows = []
    for key, what, true in (("same", "one file twice", 1.0), ("slower", "a tenth more layers", found["true_ratio"])):
        one = found[key]
        low, high = one["share_told_ci"]
        share = f"{one['share_told']:.1%} ({low:.1%}–{high:.1%})"
        rows.append([what, f"{true:.3f}", f"{one['pairs']}", f"{found['repeats']}", share])
    return table(("pair", "true ratio", "pairs", "processes each", "told apart (95 %)"), rows, 1)
