"""From fields to pictures: tone curves and colour, blur, brightness and contrast, framing.

A medical victim answers one class for almost all pictures of one brightness and framing. So both are varied on
purpose: dark and bright surrounds, a lit object in the middle, vignettes, low and high contrast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_LEVELS = np.linspace(0, 1, 256, dtype=np.float32)
_KNOTS = 5


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Pixel centres as y [H, 1] and x [1, W], the shorter side spanning -1 … 1."""
    side = min(height, width)
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5) - np.float32(height / 2)) * np.float32(2 / side)
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5) - np.float32(width / 2)) * np.float32(2 / side)
    return y[:, None], x[None, :]


def uniform(generator: np.random.Generator, low: float, high: float, *shape: int) -> Floats:
    """float32 in [low, high)."""
    return np.asarray(generator.random(shape, np.float32) * np.float32(high - low) + np.float32(low))


def per_image(values: NDArray[Any]) -> NDArray[Any]:
    """[N] as [N, 1, 1], to go with [N, H, W]."""
    return values[:, None, None]


def spread(field: Floats) -> Floats:
    """Stretch each image [N, H, W] to 0 … 1; a constant one becomes 0."""
    low = field.min(axis=(1, 2), keepdims=True)
    span = field.max(axis=(1, 2), keepdims=True) - low
    return np.asarray((field - low) / np.where(span > 0, span, np.float32(1)), np.float32)


def coloured(field: Floats, channels: int, generator: np.random.Generator) -> Floats:
    """Give each image of a field a random tone curve (grey) or palette (colour).

    Half of the curves run straight from dark to bright or back, the others go up and down through random knots.

    Args:
        field: float32 [N, H, W], any range.
        channels: 1 or 3.
        generator: the source of chance.

    Returns:
        float32 [N, channels, H, W] in [0, 1].
    """
    count = len(field)
    knots = uniform(generator, 0, 1, count, channels, _KNOTS)
    up = np.linspace(0, 1, _KNOTS, dtype=np.float32)
    straight = knots[..., :1] + (knots[..., -1:] - knots[..., :1]) * up
    # Two random colours may be alike; dark to bright never is.
    straight = straight * np.float32(0.4) + np.where(generator.random((count, 1, 1)) < 0.5, up, up[::-1])
    knots = np.where(generator.random((count, 1, 1)) < 0.5, straight, knots)
    place = _LEVELS * np.float32(_KNOTS - 1)
    left = np.minimum(place.astype(np.int64), _KNOTS - 2)
    curves = spread(knots[..., left] + (knots[..., left + 1] - knots[..., left]) * (place - left).astype(np.float32))
    levels = (spread(field) * np.float32(255)).astype(np.int32) + 256 * per_image(np.arange(count, dtype=np.int32))
    return np.stack([curves[:, channel].ravel().take(levels) for channel in range(channels)], axis=1)


def finished(images: Floats, generator: np.random.Generator) -> Bytes:
    """Wash out colours, blur some, vary brightness and contrast, frame, and quantise.

    Args:
        images: float32 [N, C, H, W] in [0, 1]; changed in place.
        generator: the source of chance.

    Returns:
        uint8 [N, H, W, C].
    """
    count, channels = images.shape[:2]
    if channels > 1:
        grey = images.mean(axis=1, keepdims=True)
        images = grey + (images - grey) * uniform(generator, 0.1, 1, count, 1, 1, 1)
    soft = np.flatnonzero(generator.random(count) < 0.3)
    images[soft] = _blurred(images[soft])
    curve = 256 * np.arange(count, dtype=np.int32)[:, None, None, None]
    stored = (np.clip(images, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.int32)
    toned = _tones(count, generator).ravel().take(stored + curve)
    return np.ascontiguousarray(np.moveaxis(_framed(toned, generator), 1, 3))


def _blurred(images: Floats) -> Floats:
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[..., :-2] + padded[..., 2:] + 2 * padded[..., 1:-1]
    return np.asarray(
        (across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]) / np.float32(16), np.float32
    )


def _tones(count: int, generator: np.random.Generator) -> Bytes:
    """A brightness, contrast and gamma for each image: uint8 [N, 256]."""
    gamma = np.exp(uniform(generator, -0.9, 0.9, count, 1))
    low = uniform(generator, 0, 0.45, count, 1) * (generator.random((count, 1)) < 0.7)
    high = 1 - uniform(generator, 0, 0.3, count, 1) * (generator.random((count, 1)) < 0.7)
    return ((low + (high - low) * _LEVELS**gamma) * 255 + 0.5).astype(np.uint8)


def _framed(images: Bytes, generator: np.random.Generator) -> Bytes:
    """Half of the images get a dark, bright or grey surround: round, oval or nearly square, sharp or fading."""
    count, _, height, width = images.shape
    rows = np.flatnonzero(generator.random(count) < 0.5)
    if not len(rows):
        return images
    y, x = grid(height, width)
    reach_y, reach_x = uniform(generator, 0.5, 1.05, len(rows)), uniform(generator, 0.5, 1.05, len(rows))
    off_y, off_x = uniform(generator, -0.2, 0.2, len(rows)), uniform(generator, -0.2, 0.2, len(rows))
    down = ((y - per_image(off_y)) / per_image(reach_y)) ** 2
    along = ((x - per_image(off_x)) / per_image(reach_x)) ** 2
    square = generator.random(len(rows)) < 0.35
    distance = np.where(per_image(square), down**4 + along**4, down + along)
    edge = np.where(generator.random(len(rows)) < 0.7, np.float32(12), np.float32(1.5))
    inside = np.clip((1 - distance) * per_image(edge) + np.float32(0.5), 0, 1)[:, None].astype(np.float32)
    surround = generator.choice(np.array([0, 0, 0, 12, 255, 235, 128], np.float32), len(rows))[:, None, None, None]
    images[rows] = (surround + (images[rows] - surround) * inside + np.float32(0.5)).astype(np.uint8)
    return images
