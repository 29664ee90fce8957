"""Under which conditions something was measured, and whether two such are alike.

A condition that one side does not tell is no difference but a note; what both tell must be the same. Different kinds of
device are never compared. Other conditions a user may let differ, if just that is the question (`--vary threads`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmarks.record_set import RecordSet, device_label
from benchmarks.records import AccuracyOnDevice, Attack, Context, Device, Latency

Told = Mapping[str, str | None]
KIND = "kind of device"
SPLIT = "test split"
# Whoever measures on another computer measures another "device" there.
_OF_HOST = ("embedded", "emulated")
NAMES = (*("device", "host", "engine", "threads", "tier", "quick", "cpus", "fixed-performance", "governors", "effort"),)


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
        if (x is None) != (y is None):
            found.append(f"{name}: {x or 'not told'} against {y or 'not told'}")
        elif x != y and name in vary:
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
    """Kind of device, device, host and engine."""
    device = device_record(held, record)
    context = _context(held, record.run_id)
    host = f"{context.cpu}, {context.cores} cores" if context is not None and context.cpu else None
    return {
        KIND: record.device_kind,
        "device": None if device is None or device.spec == "not told" else device_label(device),
        "host": host if record.device_kind in _OF_HOST else None,
        "engine": engine_name(record.engine),
    }


def of_attack(held: RecordSet, record: Attack) -> dict[str, str | None]:
    """How hard the thief learned: what its key does not say."""
    context = _context(held, record.run_id)
    effort = None if context is None else context.settings.get("effort")
    return {"effort": None if effort is None else str(effort), "quick": _quick(held, record.run_id)}


def device_record(held: RecordSet, record: Latency | AccuracyOnDevice | Attack) -> Device | None:
    """The device of the record's run; None where the records do not tell."""
    alike = [r for r in held.records if isinstance(r, Device) and r.device_kind == record.device_kind]
    own = [device for device in alike if device.run_id == record.run_id]
    if own or len({device_label(device) for device in alike}) == 1:
        return (own or alike)[-1]
    return None


def engine_name(engine: str | None) -> str | None:
    """`LiteRT` of `LiteRT 2.3.0`: another version may be the very thing that is compared."""
    return None if engine is None else re.split(r"\s+v?\d", engine, maxsplit=1)[0]


def _quick(held: RecordSet, run_id: str) -> str | None:
    context = _context(held, run_id)
    return None if context is None else "yes" if context.quick else "no"


def _context(held: RecordSet, run_id: str) -> Context | None:
    found = [record for record in held.records if isinstance(record, Context) and record.run_id == run_id]
    return found[-1] if found else None
