"""Data sets from four kinds of source: the phantom, MedMNIST files, folders of images by class, DICOM with labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from foundation.errors import UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset
from victim.loaders.assembly import Skipped, check_thief_fraction
from victim.loaders.dicom import load_dicom
from victim.loaders.folder import PatientFrom, image_files, load_folder
from victim.loaders.medmnist import load_medmnist
from victim.loaders.pixels import Window, check_window

__all__ = ["PatientFrom", "Skipped", "Window", "image_files", "load", "load_dicom", "load_folder", "load_medmnist"]

_SOURCES = "a source is phantom, a MedMNIST .npz file, a folder of images by class, or one of DICOM files with a CSV"
_FOLDER_SIZE = 64


def load(
    source: str,
    *,
    size: int | None = None,
    seed: int = 0,
    thief_fraction: float = 0.5,
    skip_bad: bool = False,
    labels_csv: Path | None = None,
    window: Window | None = None,
    patient_from: PatientFrom = "file",
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Load whatever `source` names.

    Args:
        source: `phantom`, a `.npz` file, or a directory. A directory is DICOM if `labels_csv` is given, if a `.dcm`
            file is in it, or if it has a CSV file and no images; else it is images by class.
        size: side of the images, in pixels; None keeps a `.npz` file's own and makes 64 of files.
        seed: makes the phantom; deals patients to splits, and training patients to the thief.
        thief_fraction: share of the training patients of each class that is held out for the thief, in [0, 1). The
            phantom has a thief split of its own.
        skip_bad: in a directory, leave bad files out and name them through `progress`, instead of stopping.
        labels_csv: `file,label[,patient]` for DICOM; None takes the one in the directory.
        window: centre and width, for DICOM and for grey images of more than 8 bits.
        patient_from: for images by class: `file` (each its own patient) or `prefix` (file name up to the first `_`).
        cache: directory where the phantom is kept between runs; None for none.
        progress: where to show progress.

    Returns:
        the data set, checked.

    Raises:
        UsageError: no such source, or settings that do not fit.
        DataError: the source cannot be used: bad files, no images, one class only, too few patients.
    """
    check_thief_fraction(thief_fraction)
    check_window(window)
    if size is not None and size < 1:
        raise UsageError(f"images cannot be {size} pixels wide")
    if source == "phantom":
        return _phantom(size, seed, cache, progress)
    path = Path(source).expanduser()
    if path.is_dir():
        side = size or _FOLDER_SIZE
        if _is_dicom(path, labels_csv):
            read = partial(load_dicom, labels_csv=labels_csv)
        else:
            read = partial(load_folder, patient_from=patient_from)
        dataset, _ = read(
            path,
            size=side,
            window=window,
            seed=seed,
            thief_fraction=thief_fraction,
            skip_bad=skip_bad,
            progress=progress,
        )
        return dataset
    if not path.exists():
        raise UsageError(f"no data set {source!r}: no such file or directory", hint=_SOURCES)
    if path.suffix.lower() != ".npz":
        raise UsageError(f"{source} is not a data set that edgecat reads", hint=_SOURCES)
    return load_medmnist(path, size=size, seed=seed, thief_fraction=thief_fraction, progress=progress)


def _phantom(size: int | None, seed: int, cache: Path | None, progress: Progress) -> Dataset:
    # Late: the other sources need nothing of the phantom's machinery.
    from victim.phantom import phantom

    dataset = phantom(seed=seed, cache=cache, progress=progress).checked()
    if size is not None and dataset.image_shape[:2] != (size, size):
        raise UsageError(f"the phantom's images are {dataset.image_shape[0]} pixels wide, not {size}")
    return dataset


def _is_dicom(root: Path, labels_csv: Path | None) -> bool:
    if labels_csv is not None or any(p.suffix.lower() == ".dcm" for p in root.rglob("*")):
        return True
    return not image_files(root) and any(p.suffix.lower() == ".csv" for p in root.glob("*"))
