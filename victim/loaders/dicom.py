"""A folder of DICOM files with a CSV of labels (see `victim.loaders.labels`).

A patient is told by the table, or else by the files' PatientID. Of that only a hash is kept while reading, and only
running numbers afterwards; names, dates and other identifying elements are never read from the files.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from foundation.errors import DataError
from foundation.files import sha256_bytes
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.loaders.assembly import Skipped, need_every_class, numbered, read_each, undivided
from victim.loaders.dicom_slice import Slice, read_slice
from victim.loaders.labels import LabelRow, class_order, read_labels
from victim.loaders.pixels import Fit, Window, stacked


def load_dicom(
    root: Path,
    labels_csv: Path | None = None,
    *,
    size: int = 64,
    fit: Fit = "crop",
    window: Window | None = None,
    seed: int = 0,
    thief_fraction: float = 0.5,
    skip_bad: bool = False,
    progress: Progress = SILENT,
) -> tuple[Dataset, list[Skipped]]:
    """Read labelled DICOM slices and split them by patient.

    Args:
        root: the folder; the table names files relative to it.
        labels_csv: `file,label[,patient]`; None takes `labels.csv`, or the only CSV file that stands in `root`.
        size: side of the images made, in pixels.
        fit: `crop` the middle square, or `pad` with black.
        window: centre and width, in Hounsfield units for CT; None takes each file's own, see
            `victim.loaders.dicom_slice.read_slice`.
        seed: deals patients to splits.
        thief_fraction: share of the training patients of each class that is held out for the thief, in [0, 1).
        skip_bad: leave bad files out and list them, instead of stopping at the first.
        progress: where to show progress and name skipped files.

    Returns:
        the data set (one channel, or three if any file is in colour), and the files that were left out.

    Raises:
        DataError: no or an unusable table, a bad file, one class only, a class of too few patients.
    """
    rows = read_labels(labels_csv or _only_table(root), root)
    names = class_order({row.label for row in rows})
    read = partial(read_slice, size=size, fit=fit, window=window)
    slices, skipped = read_each([row.file for row in rows], read, skip_bad=skip_bad, progress=progress)
    good = [(row, image) for row, image in zip(rows, slices, strict=True) if image is not None]
    labels = np.array([names.index(row.label) for row, _ in good], np.int64)
    need_every_class(root, names, labels)
    _tell(good, progress)
    patients = numbered([_patient(row, image) for row, image in good])
    everything = Split(stacked([image.pixels for _, image in good]), labels, patients)
    return undivided(root.resolve().name, names, everything, seed, thief_fraction), skipped


def _only_table(root: Path) -> Path:
    tables = sorted(p for p in root.glob("*") if p.suffix.lower() == ".csv")
    named = [table for table in tables if table.name == "labels.csv"] or tables
    if len(named) != 1:
        found = f"{len(named)} CSV files" if named else "no CSV file"
        raise DataError(f"{root} holds DICOM files but {found} of labels", hint="write labels.csv: file,label,patient")
    return named[0]


def _patient(row: LabelRow, image: Slice) -> str:
    if row.patient is not None:
        return f"table {sha256_bytes(row.patient.encode())}"
    return f"file {image.patient_sha256}" if image.patient_sha256 else f"unknown {row.file}"


def _tell(good: list[tuple[LabelRow, Slice]], progress: Progress) -> None:
    nameless = sum(row.patient is None and not image.patient_sha256 for row, image in good)
    if nameless:
        progress.say(
            f"{nameless} files tell no patient and count as one each: if patients have several images, "
            "add a patient column to the labels"
        )
    if (windows := len({image.own_window for _, image in good} - {None})) > 1:
        progress.say(f"the files bring {windows} different windows; give one window to treat all images alike")
