"""Scenes of overlapping things: dead leaves, and a few large shapes with gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from attack.npd.finish import Floats, grid, per_image, uniform
from attack.npd.noise import gradient_noise

_LEAVES = 120
_SHAPES = 7


def dead_leaves(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Discs, squares and polygons that occlude one another, their sizes by a power law, each with a tone and a texture.

    Baradad et al. 2021, "Learning to See by Looking at Noise", section 3 (dead leaves: squares, oriented, shapes,
    textured); sizes by r^-3 as in Lee, Mumford and Huang 2001, here with exponents from 2 to 3.5.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    leaf = np.stack([_leaf_map(height, width, generator) for _ in range(count)]).astype(np.int32)
    leaf += per_image(np.arange(count, dtype=np.int32) * (_LEAVES + 1))
    tones = uniform(generator, 0, 1, channels, count * (_LEAVES + 1))
    strength = uniform(generator, -0.5, 0.5, count, _LEAVES + 1) * (generator.random((count, 1)) < 0.7)
    fine = gradient_noise(count, height, width, max(2, min(height, width) // 3), generator)
    y, x = grid(height, width)
    texture = np.where(per_image(generator.random(count) < 0.5), fine, fine * 0.4 + 0.4 * (x - y))
    relief = strength.ravel().take(leaf) * texture
    return np.stack([np.clip(tone.take(leaf) + relief, 0, 1) for tone in tones], axis=1).astype(np.float32)


def _leaf_map(height: int, width: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Which leaf is seen at each pixel, uint8 [H, W]; 0 is the ground."""
    side = min(height, width)
    power = 1 - float(generator.uniform(2, 3.5))
    ends = (side * 0.025) ** power, (side * 0.5) ** power
    radius = (ends[0] + generator.random(_LEAVES) * (ends[1] - ends[0])) ** (1 / power)
    middle = generator.random((_LEAVES, 2)) * [width, height]
    # Sides of each leaf: 2 stands for a disc. One kind, or a mixture.
    kinds = generator.choice([2, 2, 3, 4, 4, 5, 6], _LEAVES if generator.random() < 0.6 else 1)
    corners = np.broadcast_to(kinds, _LEAVES)
    turned = generator.uniform(0, 2 * np.pi, _LEAVES) if generator.random() < 0.7 else np.full(_LEAVES, np.pi / 4)
    angles = turned[:, None] + np.arange(6) * (2 * np.pi / corners[:, None])
    outline = middle[:, None] + radius[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    boxes = np.concatenate([middle - radius[:, None], middle + radius[:, None]], axis=1).tolist()
    flat, sides = outline.reshape(_LEAVES, 12).tolist(), corners.tolist()
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for leaf in range(_LEAVES):
        if sides[leaf] == 2:
            draw.ellipse(boxes[leaf], fill=leaf + 1)
        else:
            draw.polygon(flat[leaf][: 2 * sides[leaf]], fill=leaf + 1)
    return np.asarray(canvas)


def shapes(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Up to seven large smooth-edged ellipses, boxes, rings and wedges, each with a gradient, over a gradient.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    y, x = grid(height, width)
    slope = np.broadcast_to((x + y) / np.float32(2), (count, height, width))
    canvas = _gradient(slope, channels, generator)
    used = generator.integers(2, _SHAPES + 1, count)
    for shape in range(_SHAPES):
        turn = per_image(uniform(generator, 0, 2 * np.pi, count))
        middle = uniform(generator, -0.9, 0.9, 2, count)
        reach = uniform(generator, 0.12, 0.8, 2, count)
        from_x, from_y = x - per_image(middle[0]), y - per_image(middle[1])
        along = (from_x * np.cos(turn) + from_y * np.sin(turn)) / per_image(reach[0])
        across = (from_y * np.cos(turn) - from_x * np.sin(turn)) / per_image(reach[1])
        kind = per_image(generator.integers(0, 4, count))
        round_ = np.sqrt(along**2 + across**2) - 1
        box = np.maximum(np.abs(along), np.abs(across)) - 1
        wedge = np.maximum(np.abs(along) + (across - 1) / 2, -across - 1)
        outside = np.select([kind == 0, kind == 1, kind == 2], [round_, box, np.abs(round_) - 0.25], wedge)
        edge = per_image(np.where(generator.random(count) < 0.75, np.float32(12), np.float32(2.5)))
        opaque = per_image(uniform(generator, 0.4, 1, count) * (shape < used))
        cover = (np.clip(np.float32(0.5) - outside * edge, 0, 1) * opaque)[:, None]
        canvas += (_gradient(along, channels, generator) - canvas) * cover
    return np.asarray(canvas, np.float32)


def _gradient(place: Floats, channels: int, generator: np.random.Generator) -> Floats:
    """Two random tones and the way between them, along `place` [N, H, W] from -1 to 1: float32 [N, C, H, W]."""
    ends = uniform(generator, 0, 1, 2, len(place), channels, 1, 1)
    # Every second is flat.
    ends[1] = np.where(generator.random((len(place), 1, 1, 1)) < 0.5, ends[0], ends[1])
    share = np.clip(place * np.float32(0.5) + np.float32(0.5), 0, 1)[:, None]
    return np.asarray(ends[0] + (ends[1] - ends[0]) * share, np.float32)
