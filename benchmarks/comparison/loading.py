"""Runs to compare: directories, record files, what `edgecat bench --json` printed, the output of other tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.importers import Origin, import_results, parse_results
from benchmarks.record_set import RecordSet
from benchmarks.records import Record
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Run:
    """Records under the name that tables call them by."""

    name: str
    held: RecordSet


def load_run(path: Path, origin: Origin | None = None, progress: Progress = SILENT) -> Run:
    """Read what was measured.

    Args:
        path: a run directory, a record file, a document of `edgecat bench --json`, or another tool's output.
        origin: for another tool's output: what such tools do not tell.
        progress: is told when a torn last line was dropped.

    Raises:
        DataError: none of these, or it holds no record.
        UsageError: another tool's output, and no `origin`.
    """
    held = RecordSet(tuple(load_records(path, origin, progress)))
    if not held.records:
        raise DataError(f"{path} holds no records")
    return Run(path.resolve().name if path.is_dir() else path.name, held)


def load_records(path: Path, origin: Origin | None = None, progress: Progress = SILENT) -> list[Record]:
    """The records of `load_run`."""
    if path.is_dir():
        if not (path / RESULTS).is_file():
            raise DataError(f"{path} has no {RESULTS}", hint="name the directory of a run, or a file")
        return records.read(path / RESULTS, progress)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".jsonl" or _is_record(content.lstrip().split(b"\n", 1)[0]):
        return records.read(path, progress)
    printed = list(_printed(content, path))
    if printed:
        return printed
    if origin is None:
        told = parse_results(content.decode("utf-8", "replace"), str(path))
        raise UsageError(
            f"{path}: {told[0].tool} does not tell what kind of device it measured",
            hint="say it: --kind physical, emulated or embedded",
        )
    return import_results(path, origin)


def _is_record(line: bytes) -> bool:
    try:
        content = json.loads(line)
    except ValueError:
        return False
    return isinstance(content, dict) and {"kind", "schema_version"} <= content.keys()


def _printed(content: bytes, path: Path) -> Iterator[Record]:
    """Records among the values of one JSON document."""
    try:
        document: Any = json.loads(content)
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    # `pooled` is made of the others.
    for value in (value for name, value in document.items() if name != "pooled"):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and {"kind", "schema_version"} <= part.keys():
                yield records.parse(json.dumps(part).encode(), str(path))
