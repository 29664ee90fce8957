"""Fractals: Julia sets, and attractors of iterated function systems."""

from __future__ import annotations

import numpy as np

from attack.npd.finish import Floats, coloured, grid, per_image, uniform

_JULIA_STEPS = 24
_WARM_UP = 6
_STEPS = 16
_MAPS = 4


def julia(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Julia sets of z² + c, with c about the boundary of the Mandelbrot set's main cardioid, where they are richest.

    Shaded by the sum of 1 / (1 + |z|²) along the orbit, which is smooth inside and outside the set.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    y, x = grid(height, width)
    turn, zoom = per_image(uniform(generator, 0, 2 * np.pi, count)), per_image(uniform(generator, 0.25, 1.6, count))
    off = uniform(generator, -0.5, 0.5, 2, count)
    real = zoom * (x * np.cos(turn) - y * np.sin(turn)) + per_image(off[0])
    imaginary = zoom * (x * np.sin(turn) + y * np.cos(turn)) + per_image(off[1])
    angle, out = uniform(generator, 0, 2 * np.pi, count), uniform(generator, 0.95, 1.15, count)
    c_real = per_image(out * (np.cos(angle) / 2 - np.cos(2 * angle) / 4))
    c_imaginary = per_image(out * (np.sin(angle) / 2 - np.sin(2 * angle) / 4))
    shade = np.zeros((count, height, width), np.float32)
    for _ in range(_JULIA_STEPS):
        real_2, imaginary_2 = real * real, imaginary * imaginary
        shade += 1 / (1 + real_2 + imaginary_2)
        # Escaped points are held, far outside, before they overflow.
        imaginary = np.clip(2 * real * imaginary + c_imaginary, -1e3, 1e3)
        real = np.clip(real_2 - imaginary_2 + c_real, -1e3, 1e3)
    banded = np.sin(shade * per_image(uniform(generator, 0.5, 3, count)))
    field = np.where(per_image(generator.random(count) < 0.4), banded, shade)
    return coloured(field.astype(np.float32), channels, generator)


def ifs(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Attractors of two to four random contractions, drawn by the chaos game.

    Kataoka et al. 2020, "Pre-training without Natural Images", section 3; contractions drawn by their singular values,
    as in Anderson and Farrell 2022, "Improving Fractal Pre-training", section 3.2, so that none collapses or flies off.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    maps, chances = _contractions(count, generator)
    particles = max(256, height * width // 8)
    x, y = uniform(generator, -1, 1, 2, count, particles)
    first_map = (np.arange(count, dtype=np.int32) * _MAPS)[:, None]
    trail = np.empty((2, _STEPS, count, particles), np.float32)
    for step in range(-_WARM_UP, _STEPS):
        chance = generator.random((count, particles), np.float32)
        chosen = first_map + (chance >= chances[0])
        for more in chances[1:]:
            chosen += chance >= more
        xx, yx, xy, yy, shift_x, shift_y = (row.take(chosen) for row in maps)
        x, y = xx * x + xy * y + shift_x, yx * x + yy * y + shift_y
        if step >= 0:
            trail[:, step] = x, y
    density = np.log1p(_counted(trail, height, width))
    return coloured(density, channels, generator)


def _contractions(count: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Maps float32 [6, N * 4] (columns of the matrix, then the shift), and where chances end: float32 [3, N, 1]."""
    turn = uniform(generator, 0, 2 * np.pi, 2, count, _MAPS)
    large, ratio = uniform(generator, 0.5, 0.85, count, _MAPS), uniform(generator, 0.4, 1, count, _MAPS)
    small = large * ratio * np.where(generator.random((count, _MAPS)) < 0.5, np.float32(1), np.float32(-1))
    (cos_a, cos_b), (sin_a, sin_b) = np.cos(turn), np.sin(turn)
    shift = uniform(generator, -1, 1, 2, count, _MAPS)
    columns = [
        cos_a * large * cos_b - sin_a * small * sin_b,
        sin_a * large * cos_b + cos_a * small * sin_b,
        -cos_a * large * sin_b - sin_a * small * cos_b,
        -sin_a * large * sin_b + cos_a * small * cos_b,
        shift[0],
        shift[1],
    ]
    used = np.arange(_MAPS) < generator.integers(2, _MAPS + 1, count)[:, None]
    # By area, so that the attractor is filled evenly; a floor keeps thin maps alive.
    area = np.where(used, np.abs(large * small) + np.float32(0.03), np.float32(0))
    ends = np.cumsum(area, axis=1, dtype=np.float32)
    return np.stack(columns).reshape(6, -1).astype(np.float32), (ends / ends[:, -1:]).T[:-1, :, None]


def _counted(trail: Floats, height: int, width: int) -> Floats:
    """How many points fall on each pixel, each attractor fitted to the picture: float32 [N, H, W]."""
    count = trail.shape[2]
    low, high = trail.min(axis=(1, 3)), trail.max(axis=(1, 3))
    scale = (np.float32(0.95) * min(height, width) / np.maximum((high - low).max(axis=0), np.float32(1e-3)))[:, None]
    x, y = trail - ((low + high) / 2)[:, None, :, None]
    columns = np.clip((x * scale + np.float32(width / 2)).astype(np.int32), 0, width - 1)
    rows = np.clip((y * scale + np.float32(height / 2)).astype(np.int32), 0, height - 1)
    cells = (np.arange(count)[:, None] * height + rows) * width + columns
    hits = np.bincount(cells.ravel(), minlength=count * height * width)
    return hits.reshape(count, height, width).astype(np.float32)
