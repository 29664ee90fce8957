"""The phantom as a data set, and its cache."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import DataError
from foundation.files import replacing, sha256_bytes
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.phantom.rendering import CLASS_NAMES, SLICES_PER_PATIENT, render

# Raise it with every change that changes a pixel: caches of older phantoms are then not used.
VERSION = 2

_SPLITS = ("train", "val", "test", "thief")


def phantom(
    images_train: int = 6000,
    images_val: int = 600,
    images_test: int = 1200,
    images_thief: int = 1200,
    seed: int = 0,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Chest CT-angiography slices of the victim's hospital, split by patient.

    Args:
        images_train: how many images to train the victim on; likewise the others.
        images_val: to stop its training.
        images_test: to measure it.
        images_thief: of the problem domain, for the thief (`pd:N`).
        seed: 0 or more.
        cache: a directory to keep the images in; None for none.
        workers: threads; None for one on each processor.
        progress: told of the rendering.

    Returns:
        data set "phantom", images uint8 [N, 64, 64, 1]; see `render` for their order.

    Raises:
        UsageError: a number out of its range, or a cache that cannot be written.
    """
    counts = dict(zip(_SPLITS, (images_train, images_val, images_test, images_thief), strict=True))

    def make() -> dict[str, Split]:
        splits, first = {}, 0
        for name, count in counts.items():
            splits[name] = render(count, "victim", seed, first_patient=first, workers=workers, progress=progress)
            first += -(-count // SLICES_PER_PATIENT)
        return splits

    splits = _cached(cache, "victim", seed, counts, make)
    return Dataset("phantom", CLASS_NAMES, **splits)


def proxy_images(
    count: int,
    seed: int = 0,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Split:
    """Slices of the other hospital: another scanner, other patients, the same four classes.

    Args and errors are those of `phantom`.

    Returns:
        images uint8 [count, 64, 64, 1]; patient numbers are the proxy hospital's own.
    """
    counts = {"proxy": count}

    def make() -> dict[str, Split]:
        return {"proxy": render(count, "proxy", seed, workers=workers, progress=progress)}

    return _cached(cache, "proxy", seed, counts, make)["proxy"]


def _cached(
    cache: Path | None, hospital: str, seed: int, counts: dict[str, int], make: Callable[[], dict[str, Split]]
) -> dict[str, Split]:
    if cache is None:
        return make()
    settings = json.dumps({"version": VERSION, "hospital": hospital, "seed": seed, "counts": counts})
    path = Path(cache) / f"phantom-{hospital}-{sha256_bytes(settings.encode())[:16]}.npz"
    splits = _load(path, counts)
    if splits is None:
        splits = make()
        _save(path, splits)
    return splits


def _load(path: Path, counts: dict[str, int]) -> dict[str, Split] | None:
    """What the cache holds; None if it holds nothing whole (it is only a cache: it is made anew)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            splits = {
                name: Split(arrays[f"{name}_images"], arrays[f"{name}_labels"], arrays[f"{name}_patients"])
                for name in counts
            }
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, DataError):
        return None
    return splits if all(len(splits[name]) == count for name, count in counts.items()) else None


def _save(path: Path, splits: dict[str, Split]) -> None:
    arrays: dict[str, Any] = {}
    for name, split in splits.items():
        arrays |= {f"{name}_images": split.images, f"{name}_labels": split.labels, f"{name}_patients": split.patients}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
