"""Pictures of lines: gratings and Gabor wavelets, and branching strokes like vessels over soft blobs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from attack.npd.finish import Floats, coloured, grid, per_image, spread, uniform
from attack.npd.noise import gradient_noise

_WAVES = 4
_MOST_STROKES = 14
_POINTS = 13
_BENDS = np.linspace(0, 1, _POINTS)
_BEZIER = np.stack([(1 - _BENDS) ** 2, 2 * _BENDS * (1 - _BENDS), _BENDS**2], axis=1)
_TANGENT = np.stack([_BENDS - 1, 1 - 2 * _BENDS, _BENDS], axis=1)


def gratings(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Sums of one to four sine or square gratings, straight or chirped, many under a Gaussian: Gabor wavelets.

    Gabor 1946, "Theory of Communication"; Daugman 1985 for two dimensions.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    y, x = grid(height, width)
    used = generator.integers(1, _WAVES + 1, count)
    field = np.zeros((count, height, width), np.float32)
    for wave in range(_WAVES):
        turn = per_image(uniform(generator, 0, 2 * np.pi, count))
        middle = uniform(generator, -0.6, 0.6, 2, count)
        from_x, from_y = x - per_image(middle[0]), y - per_image(middle[1])
        along, across = from_x * np.cos(turn) + from_y * np.sin(turn), from_y * np.cos(turn) - from_x * np.sin(turn)
        rate = per_image(np.exp(uniform(generator, np.log(2), np.log(40), count)))
        chirp = per_image(uniform(generator, -4, 4, count) * (generator.random(count) < 0.3))
        ripple = np.sin(along * (rate + chirp * along) + per_image(uniform(generator, 0, 2 * np.pi, count)))
        square = per_image(np.where(generator.random(count) < 0.3, np.float32(8), np.float32(1)))
        width_2 = per_image(uniform(generator, 0.15, 0.7, count) ** 2)
        envelope = np.exp((along**2 + across**2 * per_image(uniform(generator, 0.3, 2, count))) / (-2 * width_2))
        alone = per_image(generator.random(count) < 0.5)
        strength = per_image(uniform(generator, 0.4, 1, count) * (wave < used))
        field += np.clip(ripple * square, -1, 1) * np.where(alone, np.float32(1), envelope) * strength
    return coloured(field, channels, generator)


def strokes(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Tapering Bézier strokes that branch off one another like vessels, dark or bright over soft blobs.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    drawn = np.stack([_drawn(height, width, generator) for _ in range(count)])
    soft = gradient_noise(count, height, width, 2, generator) + gradient_noise(count, height, width, 4, generator) / 2
    blobs = np.clip(soft * 6, -1, 1)
    ground = spread(np.where(per_image(generator.random(count) < 0.5), soft, blobs))
    depth = per_image(uniform(generator, 0.2, 0.8, count))
    tone = per_image(np.where(generator.random(count) < 0.5, np.float32(-0.4), np.float32(1.4)))
    field = ground * depth + (1 - depth) / 2
    return coloured((field + (tone - field) * drawn).astype(np.float32), channels, generator)


def _drawn(height: int, width: int, generator: np.random.Generator) -> Floats:
    """How much of each pixel is stroke: float32 [H, W] in [0, 1]. Drawn at twice the size for smooth edges."""
    curves, ways, widths = _branches(int(generator.integers(4, _MOST_STROKES + 1)), generator)
    side = min(height, width)
    middle, way = (curves + 1) * [width, height], ways * [width, height]
    normal = way[..., ::-1] * [1, -1] / np.maximum(np.hypot(way[..., :1], way[..., 1:]), 1e-6)
    half = np.maximum(widths[:, None] * side * (1 - 0.6 * _BENDS), 1)[..., None]
    outlines = np.concatenate([middle + normal * half, (middle - normal * half)[:, ::-1]], axis=1)
    canvas = Image.new("L", (2 * width, 2 * height))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines.reshape(len(outlines), -1).tolist():
        draw.polygon(outline, fill=255)
    return np.asarray(canvas.reduce(2), np.float32) / np.float32(255)


def _branches(
    number: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Quadratic Bézier curves [number, points, 2] in -1 … 1, their tangents, and first widths as shares of the side."""
    controls = generator.uniform(-1.1, 1.1, (number, 3, 2))
    widths = generator.uniform(0.02, 0.12) * generator.uniform(0.5, 1, number)
    if generator.random() < 0.3:
        return _BEZIER @ controls, _TANGENT @ controls, widths
    forks = generator.integers(3, _POINTS, number).tolist()
    parents = generator.integers(0, np.maximum(np.arange(number), 1)).tolist()
    # A branch starts on its parent and is shorter.
    controls[1:, 0] = 0
    controls[1:] *= generator.uniform(0.2, 0.8, (number - 1, 1, 1))
    curves = _BEZIER @ controls
    for stroke in range(1, number):
        curves[stroke] += curves[parents[stroke], forks[stroke]]
        widths[stroke] = widths[parents[stroke]] * 0.75
    return curves, _TANGENT @ controls, widths
