"""Contact sheets: what the images of each class look like."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from foundation.errors import DataError

_TILE = 128
_GAP = 4
_TITLE = 30
# As on a light box: the ground of radiographs, and readable on light and dark pages alike.
_GROUND, _INK = "#101214", "#e8eaed"


def contact_sheet(
    images: NDArray[np.uint8], labels: NDArray[np.int64], class_names: Sequence[str], per_class: int, tile: int = _TILE
) -> bytes:
    """Draw the first `per_class` images of each class, a row for each class with its name above.

    Small images are enlarged by a whole factor without smoothing, large ones reduced.

    Args:
        images: uint8 [N, height, width, channels], 1 channel (grey) or 3 (RGB).
        labels: int64 [N], index into `class_names`.
        class_names: names of the rows, in order.
        per_class: images in a row, ≥ 1.
        tile: pixels of an image's longer side on the sheet, at most.

    Returns:
        A PNG file's content.

    Raises:
        DataError: images of another shape or type.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(f"a contact sheet wants uint8 N x H x W x 1 or 3, not {images.dtype} {images.shape}")
    width, height = _tile_size(images.shape[2], images.shape[1], tile)
    rows = [np.flatnonzero(labels == k)[:per_class] for k in range(len(class_names))]
    heights = [_TITLE + (height + _GAP if len(row) else 0) for row in rows]
    longest = max([1, *(len(row) for row in rows)])
    sheet = Image.new("RGB", (longest * (width + _GAP) + _GAP, sum(heights) + _GAP), color=_GROUND)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 16)
    draw = ImageDraw.Draw(sheet)
    for place, (name, row) in enumerate(zip(class_names, rows, strict=True)):
        top = sum(heights[:place])
        title = name if len(row) else f"{name} (no images)"
        draw.text((_GAP, top + 6), _fitting(title, font, sheet.width - 2 * _GAP), fill=_INK, font=font)
        for column, index in enumerate(row):
            sheet.paste(_tile(images[index], (width, height)), (_GAP + column * (width + _GAP), top + _TITLE))
    stream = BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _tile_size(width: int, height: int, tile: int) -> tuple[int, int]:
    longer = max(width, height)
    if longer <= tile:
        return width * (tile // longer), height * (tile // longer)
    return max(1, width * tile // longer), max(1, height * tile // longer)


def _tile(image: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    enlarged = size[0] >= picture.width
    return picture.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text on one line, cut with an ellipsis where it is wider than the sheet."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
