"""Under which conditions something was measured, and whether two such are alike.

A condition that one side does not tell is no difference but a note; what both tell must be the same. Different kinds of
device are never compared. Other conditions a user may let differ, if just that is the question (`--vary threads`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmarks.importers.told import NOT_TOLD
from benchmarks.record_set import RecordSet
from benchmarks.records import AccuracyOnDevice, Attack, Context, Latency

Told = Mapping[str, str | None]
KIND = "kind of device"
SPLIT = "test split"
# On another computer these are other devices. An embedded one has that computer's serial number.
_OF_HOST = ("embedded", "emulated")
# What device records are called that tell no device (`record_set.device_label`).
_NO_DEVICE = ("phone", "physical", "emulated", NOT_TOLD)
# Not worth a note where one side alone tells them: older records and other tools have no such thing.
_OF_EDGECAT = ("tier", "quick", "effort")
NAMES = (
    "device",
    "host",
    "computer",
    "engine",
    "threads",
    "tier",
    "quick",
    "cpus",
    "fixed-performance",
    "governors",
    "effort",
)


@dataclass(frozen=True)
class Unlike:
    """Why two measurements are not compared."""

    differences: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name} {a} against {b}" for name, a, b in self.differences)


def unlike(a: Told, b: Told, vary: Collection[str] = ()) -> Unlike | None:
    """Where A's and B's conditions differ; None: they are alike as far as both tell."""
    differing = [
        (name, x, y)
        for name, x in a.items()
        if x is not None and (y := b.get(name)) is not None and x != y and name not in vary
    ]
    return Unlike(tuple(differing)) if differing else None


def notes(a: Told, b: Told, vary: Collection[str] = ()) -> list[str]:
    """What to say of conditions that one side alone tells, or that were let differ."""
    found = []
    for name in a:
        x, y = a[name], b.get(name)
        if (x is None) != (y is None) and name not in _OF_EDGECAT:
            found.append(f"{name}: {x or 'not told'} against {y or 'not told'}")
        elif x is not None and y is not None and x != y and name in vary:
            found.append(f"{name}: {x} against {y}")
    return found


def of_latency(held: RecordSet, record: Latency) -> dict[str, str | None]:
    """Conditions of a latency, by name."""
    of_run = of_place(held, record)
    state = record.conditions
    # Kept to no cores is a regime too: only another tool, or an older record, does not tell.
    cpus = None if state is None else state.cpus or "all"
    governors = None if state is None or not state.governors else ", ".join(sorted(set(state.governors.values())))
    ours = record.source is None
    return of_run | {
        "threads": None if record.config is None or record.config.threads is None else str(record.config.threads),
        "tier": record.tier,
        "quick": _quick(held, record.run_id) if ours and record.tier is None else None,
        "cpus": cpus,
        "fixed-performance": None if state is None else "on" if state.fixed_performance else "off",
        "governors": governors,
    }


def of_place(held: RecordSet, record: Latency | AccuracyOnDevice) -> dict[str, str | None]:
    """Kind of device, device, host, computer and engine."""
    label, kind = held.device_of(record)
    context = _context(held, record.run_id)
    host = f"{context.cpu}, {context.cores} cores" if context is not None and context.cpu else None
    device = held.devices.get((label, kind))
    computer = device.serial_hash if device is not None and kind == "embedded" else None
    return {
        KIND: kind,
        "device": None if label in _NO_DEVICE else label,
        "host": host if kind in _OF_HOST else None,
        "computer": computer and f"#{computer[:8]}",
        "engine": engine_name(record.engine),
    }


def of_attack(held: RecordSet, record: Attack) -> dict[str, str | None]:
    """How hard the thief learned: what its key does not say."""
    context = _context(held, record.run_id)
    effort = None if context is None else context.settings.get("effort")
    return {"effort": None if effort is None else str(effort), "quick": _quick(held, record.run_id)}


def engine_name(engine: str | None) -> str | None:
    """`LiteRT` of `LiteRT 2.3.0`: another version may be the very thing that is compared."""
    return None if engine is None else re.split(r"\s+v?\d", engine, maxsplit=1)[0]


def _quick(held: RecordSet, run_id: str) -> str | None:
    context = _context(held, run_id)
    return None if context is None else "yes" if context.quick else "no"


def _context(held: RecordSet, run_id: str) -> Context | None:
    found = [record for record in held.records if isinstance(record, Context) and record.run_id == run_id]
    return found[-1] if found else None
