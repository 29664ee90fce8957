"""Tables of the exports, from the document of `benchmarks.export_matrix`."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.markdown import table

Document = dict[str, Any]

DATA = ("phantom", "chestxray64")


def recipes(document: Document) -> str:
    """Each recipe's gate, size and accuracy, and what exporting it took."""
    rows = []
    for data in DATA:
        found = document["raw"].get(data)
        for one in found["files"] if found else ():
            parity = one["parity"]
            kept = f"{parity['agreement']:.1%}"
            lost = 100 * (found["float_accuracy"] - one["accuracy"])
            cells = [f"{one['bytes'] / 1000:,.0f}", kept, f"{parity['rms']:.2g}", f"{one['accuracy']:.1%}"]
            rows.append([data, one["name"], *cells, f"{lost:+.1f}", f"{one['seconds']:.0f}"])
    head = ("data", "recipe", "kB", "same top-1", "rms of logits", "accuracy", "points lost", "export and gate, s")
    return table(head, rows, 2)


def precisions(document: Document) -> str:
    """What each file costs and is worth on the device, and how faithfully a thief copies it."""
    rows = []
    for data in DATA:
        found = document["raw"].get(f"{data}_precisions")
        for one in found["files"] if found else ():
            memory = one["peak_rss_bytes"]
            cells = [
                "yes" if one["on_front"] else "",
                f"{one['p50_us']:,.0f} / {one['p90_us']:,.0f}",
                "–" if memory is None else f"{memory / 1e6:.1f}",
                f"{one['accuracy']:.1%}",
            ]
            rows.append([data, one["name"], *cells, *_stolen(one)])
    head = ("data", "file", "on the front", "p50 / p90, µs", "peak memory, MB", "accuracy", "fidelity of a thief")
    return table((*head, "less float32's, points"), rows, 3)


def roads(document: Document) -> str:
    """Latency of our files and of those of each runtime's own road: medians over rounds."""
    rows = [
        [name, f"{median(one['ours_us']):.1f}", f"{median(one['theirs_us']):.1f}", f"{one['ratio']:.3f}"]
        for name, one in document["raw"]["roads"].items()
    ]
    return table(("file", "ours, µs", "the runtime's own road, µs", "median of the ratios"), rows, 1)


def hostile(document: Document) -> str:
    """What became of changed files."""
    rows = []
    for name, one in document["raw"]["hostile"].items():
        for what, told in (
            ("with the original's manifest", one["original_manifest"]),
            ("looked into by edgecat inspect", one["inspected"]),
            ("with a manifest forged for it, run", one["forged_manifest"]),
        ):
            ends = ", ".join(f"{count} {end}" for end, count in sorted(told.items()))
            rows.append([name, what, f"{one['mutants']}", ends])
    return table(("file", "changed file", "how many", "ends"), rows, 2)


def _stolen(one: dict[str, Any]) -> list[str]:
    if "fidelity" not in one:
        return ["–", "–"]
    low, high = one["fidelity_ci"]
    less = one["less_float_ci"]
    told = f"{one['fidelity']:.1%} ({low:.1%}–{high:.1%})"
    return [told, "–" if less is None else f"{100 * less[0]:+.1f} to {100 * less[1]:+.1f}"]
