"""A folder of images by class: `CLASS/*.png|jpg|jpeg|tif|tiff`, nested as deep as one likes.

The top level may be `train/`, `test/` and, if wanted, `val/` and `thief/`, each with the class directories in it; then
that split is kept. Otherwise images are split here, by patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.loaders.assembly import Skipped, completed, need_every_class, numbered, read_each, undivided
from victim.loaders.picture import SUFFIXES, read_picture
from victim.loaders.pixels import Fit, Window, squared, stacked

PatientFrom = Literal["file", "prefix"]

_SPLITS = ("train", "val", "test", "thief")
# At most this of 16 bits used: 14-bit detectors, 12-bit and fewer stored in 16.
_DARK_PEAK = 1 << 14


@dataclass(frozen=True)
class _Listing:
    """Image files with what their place tells: class, and split where the top level names it."""

    class_names: tuple[str, ...]
    files: list[Path]
    labels: list[int]
    parts: list[str | None]


@dataclass(frozen=True)
class _Reading:
    pixels: NDArray[np.uint8]
    peak: float | None


def load_folder(
    root: Path,
    *,
    size: int = 64,
    fit: Fit = "crop",
    window: Window | None = None,
    patient_from: PatientFrom = "file",
    seed: int = 0,
    thief_fraction: float = 0.5,
    skip_bad: bool = False,
    progress: Progress = SILENT,
) -> tuple[Dataset, list[Skipped]]:
    """Read a folder of images by class. Classes are the directories' names, sorted.

    Images come out with one channel if all are grey (three equal channels count as grey), else with three. See
    `victim.loaders.picture.read_picture` for 16-bit images and transparency, `victim.loaders.pixels.squared` for
    images that are not square.

    Args:
        root: the folder.
        size: side of the images made, in pixels.
        fit: `crop` the middle square, or `pad` with black.
        window: centre and width, in stored values, for grey images of more than 8 bits; None takes 0…65535.
        patient_from: `file`: every image is its own patient; `prefix`: the file name up to the first `_` names one.
        seed: deals patients to splits.
        thief_fraction: share of the training patients of each class that is held out for the thief, in [0, 1).
        skip_bad: leave bad files out and list them, instead of stopping at the first.
        progress: where to show progress and name skipped files.

    Returns:
        the data set, and the files that were left out.

    Raises:
        DataError: no images, one class only, a class of too few images, a bad file, a patient in two given splits.
    """
    listing = _listed(root)
    readings, skipped = read_each(
        listing.files, partial(_read, size=size, fit=fit, window=window), skip_bad=skip_bad, progress=progress
    )
    kept = [row for row, reading in enumerate(readings) if reading is not None]
    good = [reading for reading in readings if reading is not None]
    if window is None:
        _tell_of_dark_images([r.peak for r in good if r.peak is not None], progress)
    labels = np.array([listing.labels[row] for row in kept], np.int64)
    need_every_class(root, listing.class_names, labels)
    patients = numbered([_patient(root, listing.files[row], patient_from) for row in kept])
    everything = Split(stacked([r.pixels for r in good]), labels, patients)
    name = root.resolve().name
    parts = [listing.parts[row] for row in kept]
    if parts[0] is None:
        return undivided(name, listing.class_names, everything, seed, thief_fraction), skipped
    given = [everything.take(np.flatnonzero([part == wanted for part in parts])) for wanted in _SPLITS]
    return completed(Dataset(name, listing.class_names, *given), seed, thief_fraction), skipped


def _read(file: Path, size: int, fit: Fit, window: Window | None) -> _Reading:
    picture = read_picture(file, window)
    return _Reading(squared(picture.pixels, size, fit), picture.peak)


def image_files(root: Path) -> list[Path]:
    """Image files under `root`, by suffix, sorted; hidden ones (`.`, `__MACOSX`) are passed over."""
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and _visible(p, root) and p.is_file())


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _listed(root: Path) -> _Listing:
    files = image_files(root)
    if not files:
        raise DataError(f"no image under {root}", hint=f"put {', '.join(SUFFIXES)} files in one directory per class")
    tops = {file.relative_to(root).parts[0] for file in files}
    divided = {"train", "test"} <= tops
    if "train" in tops and not divided:
        raise DataError(f"{root} has train/ but no image in test/", hint="add test/, or name no split at all")
    if divided and (strange := sorted(tops - set(_SPLITS))):
        raise DataError(f"{root}: {strange[0]} stands beside train/ and test/", hint="move it out of the folder")
    depth = 1 if divided else 0
    for file in files:
        if len(file.relative_to(root).parts) < depth + 2:
            raise DataError(
                f"{file} stands in no class directory", hint="put it in its class's directory, or elsewhere"
            )
    places = [file.relative_to(root).parts for file in files]
    names = sorted({place[depth] for place in places})
    number = {name: label for label, name in enumerate(names)}
    labels = [number[place[depth]] for place in places]
    return _Listing(tuple(names), files, labels, [place[0] if divided else None for place in places])


def _patient(root: Path, file: Path, patient_from: PatientFrom) -> str:
    return file.name.split("_", 1)[0] if patient_from == "prefix" else str(file.relative_to(root))


def _tell_of_dark_images(peaks: list[float], progress: Progress) -> None:
    if peaks and (peak := max(peaks)) < _DARK_PEAK:
        progress.say(
            f"16-bit images use only 0…{peak:g} of 0…65535 and come out dark: "
            f"give a window, such as centre {peak / 2:g} and width {peak:g}"
        )
