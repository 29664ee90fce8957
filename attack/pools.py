"""Pools: where a thief's images come from.

`none`: no image at all, for a strategy that makes its own. `npd`: procedural images that are not of the problem domain,
any number. `proxy`: images of the same kind from another
hospital. `pd:N`: N images of the problem domain itself, which the victim never saw. A folder or an `.npz` of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attack import npd
from foundation.errors import DataError, UsageError
from victim.dataset import Dataset
from victim.loaders.pool import read_pool


@dataclass(frozen=True)
class Pool:
    """Unlabelled images by number.

    Attributes:
        name: as the user wrote it.
        size: how many there are; None: as many as are asked for.
        take: rows int64 [N] to uint8 [N, H, W, C]; the same row is always the same image.
        origin: a row to where its image came from.
    """

    name: str
    size: int | None
    take: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    origin: Callable[[int], str]

    def pays(self, budget: int) -> None:
        """See to it that each of `budget` queries can have an image of its own.

        Raises:
            DataError: the pool is too small.
        """
        if self.size is not None and self.size < budget:
            raise DataError(
                f"pool {self.name} holds {self.size} images, the budget is {budget}",
                hint="lower the budget, take a larger pool, or grow it with --strategy amplify",
            )


Proxy = Callable[[], NDArray[np.uint8]]


def find_pools(
    name: str, dataset: Dataset, seed: int, proxy: Proxy | None = None, *, resize: bool = False
) -> tuple[Pool, ...]:
    """The parts of a pool whose name may be several joined by `+`, as in `npd+pd:100`; see `find_pool`."""
    parts = [name] if Path(name).exists() else name.split("+")
    return tuple(find_pool(part, dataset, seed, proxy, resize=resize) for part in parts)


def find_pool(name: str, dataset: Dataset, seed: int, proxy: Proxy | None = None, *, resize: bool = False) -> Pool:
    """The pool of that name, for one thief.

    Args:
        name: `none`, `npd`, `proxy`, `pd:N`, or the path of a folder or `.npz` of images; not a composed one.
        dataset: the victim's; gives the images' shape and the `thief` split.
        seed: of the thief: which N images of the domain it has, which procedural images it makes.
        proxy: makes the other hospital's images; None where the data set has no other hospital.
        resize: make a folder's or file's images of another size or number of channels fit.

    Raises:
        UsageError: no such pool.
        DataError: fewer images than asked for, or of another shape.
    """
    if name == "none":
        # One black image tells a strategy that makes its own how large they are.
        return _finite(name, np.zeros((1, *dataset.image_shape), np.uint8), dataset.image_shape)
    if name == "npd":
        return _procedural(dataset.image_shape, seed)
    if name == "proxy":
        if proxy is None:
            raise UsageError(
                f"data set {dataset.name} has no second hospital, so no pool proxy",
                hint="give a folder or .npz of similar images as the pool instead",
            )
        return _finite(name, proxy(), dataset.image_shape)
    if name.startswith("pd:"):
        return _problem_domain(name, dataset, seed)
    if Path(name).exists():
        return _finite(name, read_pool(Path(name), dataset.image_shape, resize=resize), dataset.image_shape)
    raise UsageError(
        f"unknown pool {name!r}",
        hint="use npd, proxy, pd:N, none, the path of a folder or .npz, or several joined by +",
    )


def _procedural(shape: tuple[int, int, int], seed: int) -> Pool:
    def take(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        first, count = int(rows.min()), int(rows.max()) - int(rows.min()) + 1
        return npd.generate(first, count, seed, shape)[rows - first]

    return Pool("npd", None, take, lambda row: f"npd/{npd.family_of(row, seed)}")


def _problem_domain(name: str, dataset: Dataset, seed: int) -> Pool:
    matched = re.fullmatch(r"pd:([1-9][0-9]{0,8})", name)
    if matched is None:
        raise UsageError(f"unknown pool {name!r}", hint="pd:N takes a whole number of images, such as pd:100")
    count, available = int(matched[1]), len(dataset.thief)
    if count > available:
        raise DataError(f"pool {name}: data set {dataset.name} keeps only {available} images for the thief")
    chosen = np.random.default_rng([seed, 0x9D]).permutation(available)[:count]
    return _finite(name, dataset.thief.images[chosen], dataset.image_shape)


def _finite(name: str, images: NDArray[np.uint8], shape: tuple[int, int, int]) -> Pool:
    if not len(images):
        raise DataError(f"pool {name} holds no image")
    if images.shape[1:] != shape or images.dtype != np.uint8:
        raise DataError(
            f"pool {name} holds {images.dtype} images {images.shape[1:]}, the victim takes uint8 {shape}",
            hint="add --resize to make the pool fit",
        )
    return Pool(name, len(images), lambda rows: images[rows], lambda _: name)
