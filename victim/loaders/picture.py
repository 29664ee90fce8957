"""One image file (PNG, JPEG, TIFF) as an array, with a clear error if it is bad."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from foundation.errors import DataError
from victim.loaders.pixels import Window, windowed

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

# The whole range of 16 bits: a fixed rule, so that no image's contrast depends on its own content.
FULL_16_BIT: Window = (65535 / 2, 65535.0)

# What Pillow's readers raise on torn or hostile files.
_BAD = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, TypeError, KeyError, IndexError)


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 [H, W] or [H, W, 3], or float32 [H, W] in [0, 255] if it had more than 8 bits.
        peak: the highest stored value of an image of more than 8 bits, else None.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    peak: float | None = None


def read_picture(path: Path, window: Window | None = None) -> Picture:
    """Read an image file, upright (EXIF), over black where it is transparent.

    Grey images of 16 bits are scaled by `window`, or from the whole range 0…65535 if there is none; never by an
    image's own extremes. 32-bit and float images need a window. Pillow reads 16-bit colour as its upper 8 bits.

    Args:
        path: the file.
        window: centre and width in stored values, for grey images of more than 8 bits; others are not windowed.

    Raises:
        DataError: the file is empty, torn, no image, of several frames, or its values have no known range.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes)")
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as image:
            if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
                raise DataError(f"{path} has {frames} frames, not one image", hint="store each frame as a file")
            image.load()
            return _decoded(path, ImageOps.exif_transpose(image), window)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large: {error}", hint="scale it down first") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is torn at its head or not a PNG, JPEG or TIFF image") from error
    except _BAD as error:
        raise DataError(f"{path} is torn: {error}") from error


def _decoded(path: Path, image: Image.Image, window: Window | None) -> Picture:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(path, np.asarray(image), window)
    if image.mode in ("1", "L"):
        return Picture(np.asarray(image.convert("L")))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return Picture(np.asarray(image.convert("RGB")))


def _deep(path: Path, values: NDArray[np.float32], window: Window | None) -> Picture:
    if not np.isfinite(values).all():
        raise DataError(f"{path} holds NaN or infinite values")
    low, peak = float(values.min()), float(values.max())
    if window is None and (values.dtype.kind == "f" or low < 0 or peak > 65535):
        raise DataError(
            f"{path} holds values from {low:g} to {peak:g}, of no known range", hint="give a window (centre, width)"
        )
    return Picture(windowed(values, window or FULL_16_BIT), peak)
