"""The CSV of labels that goes with a folder of DICOM files: `file,label[,patient]`, header required."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath

from foundation.errors import DataError

_HINT = "the first line must be file,label or file,label,patient, separated by commas"


@dataclass(frozen=True)
class LabelRow:
    """One line: the file, its class, and its patient where the table tells one."""

    file: Path
    label: str
    patient: str | None


def read_labels(table: Path, root: Path) -> list[LabelRow]:
    """Read the table; files are named relative to `root`.

    Columns besides `file`, `label` and `patient` are passed over.

    Returns:
        rows sorted by file, so that the order of the lines changes nothing.

    Raises:
        DataError: no such table, no header, no rows, an empty field, a file named twice or outside `root`.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream, strict=True)
            lines.fieldnames = [str(name).strip().lower() for name in lines.fieldnames or []]
            if not {"file", "label"} <= set(lines.fieldnames):
                raise DataError(f"{table} has no columns file and label", hint=_HINT)
            rows = [_row(table, lines.line_num, line, root) for line in lines]
    except OSError as error:
        raise DataError(f"cannot read the labels {table}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8: {error}", hint=_HINT) from error
    if not rows:
        raise DataError(f"{table} names no files", hint=_HINT)
    rows.sort(key=lambda row: row.file)
    for before, after in pairwise(rows):
        if before.file == after.file:
            raise DataError(f"{table} names {after.file} twice")
    return rows


def _row(table: Path, number: int, line: dict[str, str | None], root: Path) -> LabelRow:
    file, label = ((line[key] or "").strip() for key in ("file", "label"))
    if not file or not label:
        raise DataError(f"{table}, line {number}: no {'label' if file else 'file'}")
    place = PurePath(file)
    if place.is_absolute() or ".." in place.parts:
        raise DataError(
            f"{table}, line {number}: {file} is not inside {root}", hint="name files relative to the folder"
        )
    return LabelRow(root / place, label, (line.get("patient") or "").strip() or None)


def class_order(labels: set[str]) -> tuple[str, ...]:
    """Class names in the order of their indices: as numbers where all are, else by the alphabet."""
    if all(label.isascii() and label.isdigit() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))
