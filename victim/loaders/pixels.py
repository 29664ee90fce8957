"""How stored values become the 8-bit square images that a classifier sees: window, crop or pad, resize."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.errors import UsageError

Fit = Literal["crop", "pad"]

# Centre and width of the window, in the units of the stored (or, for DICOM, rescaled) values.
Window = tuple[float, float]


def check_window(window: Window | None) -> None:
    """Refuse a window that shows nothing.

    Raises:
        UsageError: the width is not above 0, or a number is not finite.
    """
    if window is not None and not (np.isfinite(window).all() and window[1] > 0):
        raise UsageError(
            f"no such window: centre {window[0]}, width {window[1]}", hint="the width must be above 0, both finite"
        )


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """Map centre - width/2 to 0 and centre + width/2 to 255, linearly, and clip (DICOM PS3.3 C.11.2.1.3, LINEAR_EXACT).

    Args:
        values: any real numbers, any shape.
        window: centre and width, in the units of `values`.

    Returns:
        float32 in [0, 255], the shape of `values`; not yet rounded, so that resizing loses nothing.
    """
    centre, width = window
    scaled = (values.astype(np.float32) - np.float32(centre - width / 2)) * np.float32(255 / width)
    return np.asarray(np.clip(scaled, 0, 255), np.float32)


def squared(pixels: NDArray[Any], size: int, fit: Fit = "crop") -> NDArray[np.uint8]:
    """Make an image `size` x `size`.

    The middle square is cut out (`crop`), or the whole is centred on black (`pad`). Where the image shrinks every new
    pixel is the mean of the area it covers, to within one grey level, so nothing aliases; where it grows, values are
    interpolated linearly.

    Args:
        pixels: uint8 [H, W] or [H, W, 3], or float32 [H, W] in [0, 255].
        size: side of the result, in pixels.
        fit: what to do with an image that is not square.

    Returns:
        uint8 [size, size] or [size, size, 3].
    """
    height, width = pixels.shape[:2]
    if height == width == size and pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if fit == "crop":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        return _bytes(picture.resize((size, size), _filter(side, size), (left, top, left + side, top + side)))
    side = max(height, width)
    inner = max(1, round(width * size / side)), max(1, round(height * size / side))
    resized = _bytes(picture.resize(inner, _filter(side, size)))
    framed = np.zeros((size, size, *pixels.shape[2:]), np.uint8)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    framed[top : top + inner[1], left : left + inner[0]] = resized
    return framed


def _filter(before: int, after: int) -> Image.Resampling:
    return Image.Resampling.BOX if before >= after else Image.Resampling.BILINEAR


def _bytes(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(np.asarray(picture)), 0, 255), np.uint8)


def stacked(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images of one size as one array: one channel if all are grey, else three.

    An image of three equal channels counts as grey: radiographs are often stored as RGB.

    Args:
        pictures: each uint8 [H, W] or [H, W, 3].

    Returns:
        uint8 [N, H, W, 1] or [N, H, W, 3].
    """
    planes = [p[:, :, 0] if p.ndim == 3 and (p == p[:, :, :1]).all() else p for p in pictures]
    if all(p.ndim == 2 for p in planes):
        return np.stack(planes)[..., None]
    return np.stack([p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in planes])
