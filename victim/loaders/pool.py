"""Images without labels, as a thief has them: any folder of pictures, or the arrays of an `.npz`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from victim.loaders.folder import image_files
from victim.loaders.picture import read_picture
from victim.loaders.pixels import squared


def read_folder(root: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Every picture below a folder, in the order of their paths, made to fit.

    Args:
        root: the folder.
        shape: height, width (equal) and channels of the images wanted.

    Returns:
        uint8 [N, *shape].

    Raises:
        DataError: no picture, or a bad one, by its name.
    """
    files = image_files(root)
    if not files:
        raise DataError(f"no picture in {root}")
    return np.stack([_fitted(squared(read_picture(file).pixels, shape[0]), shape[2]) for file in files])


def read_npz(path: Path) -> NDArray[np.uint8]:
    """All images of an `.npz`: every array whose name ends in `images`, N x H x W or N x H x W x C, uint8.

    Raises:
        DataError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = [stored[key] for key in sorted(stored.files) if key.endswith("images")]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path} as an .npz: {error}") from error
    if not arrays:
        raise DataError(f"{path} has no array whose name ends in 'images'")
    shaped = [array[..., None] if array.ndim == 3 else array for array in arrays]
    if any(array.ndim != 4 or array.dtype != np.uint8 or array.shape[1:] != shaped[0].shape[1:] for array in shaped):
        raise DataError(f"{path}: images must be uint8 N x H x W (x C), all of one size")
    return np.concatenate(shaped)


def _fitted(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] to [H, W, channels]: grey is repeated, colour becomes its mean."""
    if pixels.ndim == 2:
        return np.asarray(np.repeat(pixels[..., None], channels, axis=2), np.uint8)
    if channels == 1:
        return np.asarray(np.rint(pixels.mean(axis=2, keepdims=True)), np.uint8)
    return np.asarray(pixels, np.uint8)
