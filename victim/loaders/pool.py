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


def read_pool(path: Path, shape: tuple[int, int, int], *, resize: bool) -> NDArray[np.uint8]:
    """The images of a folder or an `.npz`.

    Args:
        path: the folder, or the file.
        shape: height, width (equal) and channels of the images wanted.
        resize: make images of another size or number of channels fit, instead of refusing them.

    Returns:
        uint8 [N, *shape].

    Raises:
        DataError: no image, a bad one, or one of another shape, by its name.
    """
    if path.is_dir():
        return read_folder(path, shape, resize=resize)
    images = read_npz(path)
    if resize and images.shape[1:] != shape:
        images = np.stack([_fitted(squared(_without_grey_axis(image), shape[0]), shape[2]) for image in images])
    return images


def read_folder(root: Path, shape: tuple[int, int, int], *, resize: bool = True) -> NDArray[np.uint8]:
    """Every picture below a folder, in the order of their paths; see `read_pool`."""
    files = image_files(root)
    if not files:
        raise DataError(f"no picture in {root}")
    return np.stack([_read(file, shape, resize) for file in files])


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


def _read(file: Path, shape: tuple[int, int, int], resize: bool) -> NDArray[np.uint8]:
    pixels = read_picture(file).pixels
    found = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
    if found != shape and not resize:
        raise DataError(
            f"{file} is an image {' x '.join(map(str, found))}, the victim takes {' x '.join(map(str, shape))}",
            hint="add --resize to make the pool fit",
        )
    return _fitted(squared(pixels, shape[0]), shape[2])


def _without_grey_axis(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image[..., 0] if image.shape[2] == 1 else image


def _fitted(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] to [H, W, channels]: grey is repeated, colour becomes its mean."""
    if pixels.ndim == 2:
        return np.asarray(np.repeat(pixels[..., None], channels, axis=2), np.uint8)
    if channels == 1:
        return np.asarray(np.rint(pixels.mean(axis=2, keepdims=True)), np.uint8)
    return np.asarray(pixels, np.uint8)
