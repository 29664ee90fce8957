"""What every importer gives, and how it becomes records."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath, PureWindowsPath

from benchmarks.records import (
    Device,
    DeviceKind,
    Latency,
    LatencyConfig,
    Memory,
    Record,
    Reported,
    Validity,
)
from benchmarks.statistics import evenly_picked, latency_summary
from foundation.errors import DataError
from foundation.files import sha256_bytes

NOT_TOLD = "not told"
# edgecat's own name for a file on a device: a part of its hash, then its name.
_PUSHED = re.compile(r"^[0-9a-f]{16}-")


@dataclass(frozen=True)
class Origin:
    """What other tools do not tell of their measurement, and the user must.

    Attributes:
        device_kind: what it ran on; kinds are never compared with each other, so it is not guessed.
        device: the device by the label or spec that edgecat's records have for it (`embedded`, `Pixel 8 arm64-v8a
            #1a2b3c4d`); None: what the tool told, or not known.
        artifact: the artefact's name in edgecat's records; None: the file name that the tool told.
    """

    device_kind: DeviceKind
    device: str | None = None
    artifact: str | None = None


@dataclass(frozen=True)
class Told:
    """One process of one tool on one model, in its own numbers; None: it did not tell. Microseconds throughout.

    Attributes:
        tool: its name.
        artifact: the model, by its file name without suffix.
        engine: the runtime, as far as the tool is bound to one.
        raw_us: samples, where it gives them.
        device: maker's name for the device.
        met: whether its minimum of runs and of seconds was met.
    """

    tool: str
    artifact: str | None = None
    engine: str | None = None
    config: LatencyConfig | None = None
    load_ms: float | None = None
    first_us: float | None = None
    raw_us: Sequence[float] = ()
    reported: Reported | None = None
    device: str | None = None
    os_version: str | None = None
    met: tuple[bool | None, bool | None] = field(default=(None, None))


def model_name(path: str) -> str:
    """`tflite_int8` of a path on the device or on the host, also of the name that edgecat gives a pushed file."""
    name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    return _PUSHED.sub("", name.removesuffix(".tflite").removesuffix(".pte")) or name


def finite(number: str, place: str) -> float:
    """A number as a tool printed it.

    Raises:
        DataError: not a finite number that is at least 0.
    """
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise DataError(f"{place}: {number} is no latency")
    return value


def as_records(told: Sequence[Told], content: str, origin: Origin, path: Path) -> list[Record]:
    """The device and its latencies; one run, identified by the content."""
    run_id = f"import-{sha256_bytes(content.encode())[:16]}"
    try:
        created = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    first = told[0]
    device = Device(
        run_id=run_id,
        created=created,
        spec=origin.device or first.device or NOT_TOLD,
        device_kind=origin.device_kind,
        serial_hash=None,
        model=origin.device or first.device,
        abi=None,
        os_version=first.os_version,
    )
    repeats: dict[str, int] = {}
    records: list[Record] = [device]
    for one in told:
        name = origin.artifact or one.artifact or path.stem
        repeats[name] = repeats.get(name, -1) + 1
        records.append(_latency(one, name, repeats[name], run_id, created, origin.device_kind))
    return records


def _latency(one: Told, name: str, repeat: int, run_id: str, created: datetime, kind: DeviceKind) -> Latency:
    raw = evenly_picked(one.raw_us) if one.raw_us else []
    return Latency(
        run_id=run_id,
        created=created,
        artifact=name,
        device_kind=kind,
        engine=one.engine,
        config=one.config,
        load_ms=one.load_ms,
        first_us=one.first_us,
        raw_us=raw,
        raw_kept=len(raw),
        latency_us=latency_summary(one.raw_us) if one.raw_us else None,
        memory=Memory(peak_rss_bytes=None, method=None),
        artifact_bytes=None,
        validity=Validity(min_runs_met=one.met[0], min_seconds_met=one.met[1]),
        repeat=repeat,
        source=one.tool,
        reported=one.reported,
    )
