"""The records of a run: JSON Lines, one record a line, raw samples kept, statistics derived.

Records are only ever appended. A line that a kill tore is dropped when read and cut off before the next append; any
other bad line is an error. What the records hold is in `benchmarks.schema`; this module gives its names too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from benchmarks.schema import (
    AccuracyOnDevice,
    ArtifactRecord,
    Context,
    DatasetFacts,
    Device,
    LayerError,
    Parity,
    Record,
    RuntimeParity,
    SplitSizes,
    Victim,
)
from benchmarks.schema_base import RAW_LIMIT, SCHEMA_VERSION, DeviceKind, Interval
from benchmarks.schema_defence import (
    Alarm,
    DetectionReport,
    FalseAlarmRate,
    Inversion,
    PolicyComparison,
    PolicyResult,
    PolicyThief,
    SplitEvaluation,
    StepCost,
    WatchedThief,
)
from benchmarks.schema_latency import (
    Conditions,
    Distribution,
    Latency,
    LatencyConfig,
    LayerProfile,
    LayerTime,
    Memory,
    Reported,
    TemperatureGate,
    Throughput,
    Tier,
    Validity,
)
from benchmarks.schema_theft import Attack, Calibration, Gain, OfThief, Saliency, Transfer
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress

__all__ = [
    "RAW_LIMIT",
    "SCHEMA_VERSION",
    "AccuracyOnDevice",
    "Alarm",
    "ArtifactRecord",
    "Attack",
    "Calibration",
    "Conditions",
    "Context",
    "DatasetFacts",
    "DetectionReport",
    "Device",
    "DeviceKind",
    "Distribution",
    "FalseAlarmRate",
    "Gain",
    "Interval",
    "Inversion",
    "Latency",
    "LatencyConfig",
    "LayerError",
    "LayerProfile",
    "LayerTime",
    "Memory",
    "OfThief",
    "Parity",
    "PolicyComparison",
    "PolicyResult",
    "PolicyThief",
    "Record",
    "Reported",
    "RuntimeParity",
    "Saliency",
    "SplitEvaluation",
    "SplitSizes",
    "StepCost",
    "TemperatureGate",
    "Throughput",
    "Tier",
    "Transfer",
    "Validity",
    "Victim",
    "WatchedThief",
    "append",
    "parse",
    "read",
]

_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def append(path: Path, record: Record) -> None:
    """Add one record as the file's last line; it is on the disk when this returns.

    What a kill left of an unfinished last line is cut off first.

    Raises:
        UsageError: the file cannot be written.
    """
    line = record.model_dump_json().encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "x+b") as stream:
            _mend_end(stream)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="free some space, or choose --out") from error


def read(path: Path, progress: Progress = SILENT) -> list[Record]:
    """Read every record of a file, in order.

    Args:
        path: the `.jsonl` file. Blank lines are passed over.
        progress: is told when a torn last line was dropped.

    Raises:
        DataError: no such file, a line that is no record, or a schema version that this edgecat does not know; names
            file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read records {path}: {error.strerror}") from error
    records: list[Record] = []
    for number, line, ended in _lines(content):
        if not ended and not _is_json(line):
            progress.say(f"{path}: line {number} is torn (a run was killed while writing it); dropped")
        elif line.strip():
            records.append(parse(line, f"{path}, line {number}"))
    return records


def _lines(content: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Number, content and whether it was ended, of each line."""
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number < len(lines) or line:
            yield number, line, number < len(lines)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def parse(line: bytes, place: str) -> Record:
    """One record from its JSON.

    Args:
        line: the JSON.
        place: what errors call it.

    Raises:
        DataError: it is none, or of a schema version that this edgecat does not know.
    """
    try:
        content = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place}: not JSON ({error})") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{place}: schema_version {version!r}, and this edgecat reads {SCHEMA_VERSION}",
            hint="read the file with the edgecat that wrote it",
        )
    try:
        return _RECORD.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{place}: {where + ': ' if where else ''}{first['msg']}") from error


def _mend_end(stream: BinaryIO) -> None:
    """Leave the stream at its end, after a whole line."""
    size = stream.seek(0, os.SEEK_END)
    if not size:
        return
    stream.seek(size - 1)
    if stream.read(1) == b"\n":
        return
    stream.seek(0)
    content = stream.read()
    start = content.rfind(b"\n") + 1
    if _is_json(content[start:]):
        # Whole but for its end of line: as an editor leaves it, or a kill just before the last byte.
        stream.write(b"\n")
    else:
        stream.truncate(start)
        stream.seek(start)
