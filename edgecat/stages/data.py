"""Data sets and the images that go with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat.settings import RunSettings
from foundation.cache import cache_directory
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset
from victim.loaders import load

# Images that device and host must label alike, one by one.
COMPARED_IMAGES = 1000

# Images of the other hospital; whole patients of all four classes come in sixteens.
PROXY_SIZES = (8_000, 20_000)
PROXY_STEP = 100_000

# Images of the parity gate. The exported graph takes them one by one, some 10 ms each.
PARITY_IMAGES = 512


def load_dataset(settings: RunSettings, progress: Progress = SILENT) -> Dataset:
    """The data set that the settings name; see `victim.loaders.load`."""
    return load(
        settings.data,
        size=settings.size,
        seed=settings.seed,
        skip_bad=settings.skip_bad,
        labels_csv=None if settings.labels is None else Path(settings.labels),
        cache=cache_directory(),
        progress=progress,
    )


def second_hospital(
    settings: RunSettings, count: int, progress: Progress = SILENT
) -> Callable[[], NDArray[np.uint8]] | None:
    """What makes the pool `proxy`: images of the other hospital, `count` at least; None where there is none.

    Always 8,000, 20,000, or hundreds of thousands: a strategy must have something to choose from, and a larger budget
    that goes on with an attack must find the same pool.
    """
    if settings.data != "phantom":
        return None

    # Every thief of a run draws from the same images: read from the cache once, not once a thief.
    @cache
    def images() -> NDArray[np.uint8]:
        from victim.phantom import proxy_images

        size = next((size for size in PROXY_SIZES if count <= size), -(-count // PROXY_STEP) * PROXY_STEP)
        return proxy_images(size, settings.seed, cache=cache_directory(), progress=progress).images

    return images


def unseen_images(dataset: Dataset) -> NDArray[np.uint8]:
    """Images that neither trained the victim nor set a quantisation range: test, then thief; uint8 [N, H, W, C]."""
    return np.concatenate([dataset.test.images, dataset.thief.images])


def parity_images(dataset: Dataset) -> NDArray[np.uint8]:
    """Up to 512 unseen images for the parity gate, uint8 [N, H, W, C], drawn evenly over all of them."""
    images = unseen_images(dataset)
    rows = np.linspace(0, len(images) - 1, min(len(images), PARITY_IMAGES)).round().astype(np.int64)
    return images[np.unique(rows)]


def contact_sheet(dataset: Dataset) -> dict[str, NDArray[np.uint8]]:
    """The test images of each class, for the report."""
    test = dataset.test
    return {name: test.images[test.labels == label] for label, name in enumerate(dataset.class_names)}


def compared_images(dataset: Dataset) -> NDArray[np.uint8]:
    """At least 1,000 images where there are so many, the test split first: for comparing labels of device and host."""
    images = unseen_images(dataset)
    if len(images) < COMPARED_IMAGES:
        images = np.concatenate([images, dataset.train.images, dataset.val.images])
    return images[: max(COMPARED_IMAGES, len(dataset.test))]
