"""Tables of scale, from the document of `benchmarks.scaling`."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.markdown import table

Document = dict[str, Any]


def constants(document: Document) -> str:
    """What one image costs host and device, and a thief's training."""
    rows = []
    for size, one in document["raw"]["images"].items():
        cells = [f"{one[key]:,.1f}" for key in ("channel_us", "host_us", "device_us", "inference_us")]
        rows.append(
            [size, f"{one['bytes']:,}", *cells, f"{one['ledger_bytes']:,.0f}", f"{one['training']['core_us']:,.0f}"]
        )
    head = ("images", "bytes", "host, µs", "with a ledger, µs", "device, µs", "of it inference, µs", "ledger, bytes")
    return table((*head, "one pass of a thief's training, µs"), rows, 1)


def scenarios(document: Document) -> str:
    """What the simulation gives."""
    rows = []
    for one in document["raw"]["scenarios"]:
        ledger = "–" if one["ledger_megabytes"] is None else f"{one['ledger_megabytes']:,.0f}"
        cells = [
            f"{one['cores']}",
            _hours(one["hours"]),
            f"{one['core_hours']:,.1f}",
            f"{one['gigabytes']:,.0f}",
            ledger,
        ]
        rows.append([one["scenario"], one["images"], *cells, one["bottleneck"]])
    head = ("scenario", "images", "cores", "hours", "core-hours", "GB on links", "ledgers, MB", "busiest")
    return table(head, rows, 2)


def at_once(document: Document) -> str:
    """Several embedded devices: measured, and as the simulation has it."""
    raw = document["raw"]
    rows = [
        [devices, f"{median(real['per_second']):,.0f}", f"{raw['simulated_at_once'][devices]:,.0f}"]
        for devices, real in raw["at_once"].items()
    ]
    return table(("embedded devices", "measured, images/s", "simulated, images/s"), rows, 0)


def _hours(hours: float) -> str:
    return f"{60 * hours:.1f} min" if hours < 1 else f"{hours:,.1f}"
