"""What 1,000 phones, 10 million queries and images of 224 pixels cost: measured constants, then a simulation.

    python -m benchmarks.scaling --json [--quick] [--record benchmarks/records/scaling.jsonl]

The constants are those of this machine and its embedded device; the simulation is held against what several embedded
devices really give. What is assumed of phones and links stands in `ASSUMED`, and in the document.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import JsonValue

from attack.copycat import settings_for
from benchmarks.proof import Check, at_least, at_most, main
from benchmarks.scale import constants
from benchmarks.scale.simulation import Costs, Outcome, Site, campaign, deployment

Raw = dict[str, JsonValue]

# A phone's core against one of this machine, bytes a second of a phone's USB 2 link and of a host's USB 3 hubs, and
# what a phone takes to start a runner, besides the link and the host. Assumed, not measured: there was no phone.
ASSUMED = {"phone_slower": 3.0, "link_bytes": 35e6, "hub_bytes": 350e6, "phone_start_seconds": 2.0}
PHONES, QUERIES, THIEF_QUERIES = 1_000, 10_000_000, 4_000
CORES = (2, 16, 64)
AT_ONCE = (1, 16, 128)
# A link that is no limit: loopback.
_LOOPBACK = 1e10


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Measure the constants, then simulate."""
    with tempfile.TemporaryDirectory(prefix="edgecat-scaling-") as folder:
        measured: dict[str, Any] = constants.measure(Path(folder), quick)
    told = _told(measured)
    raw: Raw = {**measured, "assumed": {**ASSUMED}, "simulated_at_once": told, "scenarios": _scenarios(measured)}
    return raw, checks(raw, quick)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """Whether the simulation tells what several devices give; a quick run stands for nothing."""
    found = []
    for devices in constants.DEVICES:
        one = raw["at_once"].get(str(devices))
        real = None if quick or one is None else median(one["per_second"])
        ratio = None if real is None else raw["simulated_at_once"][str(devices)] / real
        name = f"{devices} embedded devices at once: simulated rate over measured"
        found += [at_least(name, ratio, 0.75), at_most(name, ratio, 1.33)]
    return found


def _told(measured: dict[str, Any]) -> Raw:
    """Images a second of several embedded devices, as the simulation has it."""
    one = measured["images"][constants.SMALL]
    # Without a ledger, as they are measured: packing and sending alone.
    costs = Costs(one["channel_us"] / 1e6, one["device_us"] / 1e6, one["bytes"])
    found: Raw = {}
    for devices, real in measured["at_once"].items():
        site = Site(int(devices), os.cpu_count() or 1, _LOOPBACK, _LOOPBACK, phones_on_cores=True)
        found[devices] = campaign(site, costs, real["images"]).images_per_second
    return found


def _scenarios(measured: dict[str, Any]) -> JsonValue:
    rows: list[JsonValue] = []
    deployed = measured["deployment"]
    for size, one in measured["images"].items():
        costs = _costs(one)
        found = campaign(_site(1, CORES[0]), costs, QUERIES)
        rows.append(_row(f"{QUERIES:,} queries to one phone", size, CORES[0], found, one))
        for cores in CORES:
            found = campaign(_site(PHONES, cores), _with_training(costs, one), THIEF_QUERIES)
            name = f"{PHONES:,} phones, {THIEF_QUERIES:,} queries and a thief each"
            rows.append(_row(name, size, cores, found, one))
    host, wall = median(deployed["host_seconds"]), median(deployed["wall_seconds"])
    for at_once in AT_ONCE:
        each = ASSUMED["phone_start_seconds"] + max(0.0, wall - host)
        found = deployment(_site(PHONES, CORES[0]), deployed["bytes"], each, host, at_once)
        rows.append(_row(f"a model to {PHONES:,} phones, {at_once} at once", "", CORES[0], found, None))
    return rows


def _costs(one: dict[str, Any]) -> Costs:
    return Costs(one["host_us"] / 1e6, ASSUMED["phone_slower"] * one["device_us"] / 1e6, one["bytes"])


def _with_training(costs: Costs, one: dict[str, Any]) -> Costs:
    passes = settings_for(THIEF_QUERIES).epochs * THIEF_QUERIES
    return replace(costs, train_seconds=passes * one["training"]["core_us"] / 1e6)


def _site(phones: int, cores: int) -> Site:
    return Site(phones, cores, ASSUMED["link_bytes"], ASSUMED["hub_bytes"])


def _row(name: str, size: str, cores: int, found: Outcome, one: Any) -> JsonValue:
    images = found.images_per_second * found.seconds
    return {
        "scenario": name,
        "images": size,
        "cores": cores,
        "hours": found.seconds / 3600,
        "core_hours": found.core_seconds / 3600,
        "gigabytes": found.link_bytes / 1e9,
        "ledger_megabytes": None if one is None else images * one["ledger_bytes"] / 1e6,
        "bottleneck": found.bottleneck,
        "busy": {**found.busy},
    }


if __name__ == "__main__":
    sys.exit(main("scaling", measure, "What phones by the thousand and queries by the million cost."))
