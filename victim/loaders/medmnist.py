"""MedMNIST `.npz` files (Yang et al. 2023, "MedMNIST v2"), and any file of that layout.

Keys: `train_images`, `val_images`, `test_images`, uint8 N x H x W or N x H x W x 3, and `train_labels`, …, whole
numbers N x 1 or N. `val_*` may be missing; `class_names` may be present (K strings). The layout tells no patient, so
every image counts as one.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.loaders.assembly import completed, empty_like
from victim.loaders.pixels import Fit, squared

_TORN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError)


def load_medmnist(
    path: Path,
    *,
    size: int | None = None,
    fit: Fit = "crop",
    seed: int = 0,
    thief_fraction: float = 0.5,
    progress: Progress = SILENT,
) -> Dataset:
    """Read a MedMNIST file.

    Args:
        path: the `.npz` file. Nothing in it is unpickled.
        size: resize to this side, in pixels; None keeps the file's own size.
        fit: how an image that is not square is made so, where `size` is given.
        seed: chooses which training images go to the thief.
        thief_fraction: share of the training images of each class that is held out for the thief, in [0, 1).
        progress: where to show progress.

    Raises:
        DataError: torn file, missing keys, images that are not uint8, labels that are not one class per image, or too
            few images.
    """
    with progress.task(f"reading {path.name}", None):
        arrays = _arrays(path)
    train, test = (_resized(_split(path, arrays, part), size, fit) for part in ("train", "test"))
    val = _resized(_split(path, arrays, "val"), size, fit) if "val_images" in arrays else empty_like(train)
    names = _class_names(path, arrays, [train, val, test])
    train, val, test = _distinct_patients(train, val, test)
    return completed(Dataset(path.stem, names, train, val, test, empty_like(train)), seed, thief_fraction)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is torn or not an .npz file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = [k for k in archive.files if k == "class_names" or k.endswith(("_images", "_labels"))]
            found = {key: archive[key] for key in keys}
    except _TORN as error:
        raise DataError(f"cannot read {path}: {error}", hint="fetch or write the file again") from error
    for key in ("train_images", "train_labels", "test_images", "test_labels"):
        if key not in found:
            has = ", ".join(sorted(found)) or "none of them"
            raise DataError(
                f"{path} has no {key} (of MedMNIST's keys it has: {has})",
                hint="MedMNIST's layout is train|val|test_images and train|val|test_labels",
            )
    return found


def _split(path: Path, arrays: dict[str, NDArray[Any]], part: str) -> Split:
    images = _images(path, f"{part}_images", arrays[f"{part}_images"])
    key = f"{part}_labels"
    if key not in arrays:
        raise DataError(f"{path} has {part}_images but no {key}")
    labels = _labels(path, key, arrays[key])
    if len(images) != len(labels):
        raise DataError(f"{path}: {len(images)} {part}_images but {len(labels)} {key}")
    return Split(images, labels, np.arange(len(images), dtype=np.int64))


def _images(path: Path, key: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    if images.dtype.kind == "f":
        bad = int((~np.isfinite(images)).sum())
        found = f", {bad} of them NaN or infinite" if bad else ""
        raise DataError(
            f"{path}: {key} holds {images.dtype} values{found}, not uint8", hint="scale the images to 0…255 as uint8"
        )
    if images.dtype != np.uint8:
        raise DataError(f"{path}: {key} is {images.dtype}, not uint8", hint="scale the images to 0…255 as uint8")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:3]:
        raise DataError(
            f"{path}: {key} has the shape {images.shape}, not N x H x W or N x H x W x 3",
            hint="volumes are not supported: cut them into slices",
        )
    return np.asarray(images, np.uint8)


def _labels(path: Path, key: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"{path}: {key} has {labels.shape[1]} labels for each image; multi-label data sets are not supported",
            hint="choose one label as the class, and store N x 1",
        )
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "iu":
        raise DataError(f"{path}: {key} is {labels.dtype} {labels.shape}, not whole numbers N x 1 or N")
    flat = labels.reshape(-1)
    if len(flat) and (flat.min() < 0 or flat.max() > np.iinfo(np.int64).max):
        raise DataError(f"{path}: {key} has a label outside 0…K-1")
    return flat.astype(np.int64)


def _class_names(path: Path, arrays: dict[str, NDArray[Any]], splits: list[Split]) -> tuple[str, ...]:
    labels = np.unique(np.concatenate([s.labels for s in splits]))
    if "class_names" in arrays:
        names = arrays["class_names"]
        if names.ndim != 1 or names.dtype.kind not in "US":
            raise DataError(f"{path}: class_names is {names.dtype} {names.shape}, not K strings")
        return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names.tolist())
    if len(labels) == 1:
        raise DataError(f"{path} has images of one class only", hint="a classifier needs at least two classes")
    # Before names are made: one stray label of 4 billion would make as many.
    if len(labels) and labels[-1] >= len(labels):
        gap = int(np.flatnonzero(labels != np.arange(len(labels)))[0])
        raise DataError(f"{path}: labels go up to {labels[-1]}, but no image has label {gap}", hint="use labels 0…K-1")
    return tuple(f"class {k}" for k in range(len(labels)))


def _resized(split: Split, size: int | None, fit: Fit) -> Split:
    if size is None or split.images.shape[1:3] == (size, size):
        return split
    channels = split.images.shape[3]
    images = np.empty((len(split), size, size, channels), np.uint8)
    for row, image in enumerate(split.images):
        images[row] = squared(image if channels == 3 else image[..., 0], size, fit).reshape(size, size, channels)
    return Split(images, split.labels, split.patients)


def _distinct_patients(train: Split, val: Split, test: Split) -> tuple[Split, Split, Split]:
    before_test = len(train) + len(val)
    return (
        train,
        Split(val.images, val.labels, val.patients + len(train)),
        Split(test.images, test.labels, test.patients + before_test),
    )
