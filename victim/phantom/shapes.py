"""Soft-edged shapes on a grid in centimetres: the partial-volume effect comes with them.

A shape is a *coverage*: float32 in [0, 1], the share of a pixel that the shape fills. Everything round or long in a
thorax (vessels, ribs, vertebrae, chambers, clots) is a capsule: a line with a radius at each end. Capsules are drawn in
windows just large enough for them, all capsules of all images at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from victim.phantom.chance import Array

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Capsules:
    """K capsules for each of N images, in the patient's frame.

    Attributes:
        tail: float32 [N, K, 2], x (to the patient's left) and y (to the back), cm.
        head: float32 [N, K, 2], the other end, cm.
        tail_radius: float32 [N, K], cm; 0 or less: not there.
        head_radius: float32 [N, K], cm.
    """

    tail: Array
    head: Array
    tail_radius: Array
    head_radius: Array

    @classmethod
    def of(cls, *shapes: tuple[object, object, object, object, object]) -> Capsules:
        """Capsules (x, y, x of the head, y of the head, radius), each number a float or float32 [N]."""
        columns = np.broadcast_arrays(*(np.asarray(v, np.float32) for shape in shapes for v in shape), np.zeros(1))
        table = np.stack(columns[:-1], axis=-1).astype(np.float32).reshape(len(columns[0]), len(shapes), 5)
        return cls(table[..., 0:2], table[..., 2:4], table[..., 4], table[..., 4])

    @classmethod
    def joined(cls, *groups: Capsules) -> Capsules:
        """All capsules of some groups, in order."""
        return cls(
            np.concatenate([g.tail for g in groups], axis=1),
            np.concatenate([g.head for g in groups], axis=1),
            np.concatenate([g.tail_radius for g in groups], axis=1),
            np.concatenate([g.head_radius for g in groups], axis=1),
        )

    def where(self, present: NDArray[np.bool_]) -> Capsules:
        """The same, without those that are not `present` (bool, broadcast to [N, K])."""
        return Capsules(
            self.tail, self.head, np.where(present, self.tail_radius, 0), np.where(present, self.head_radius, 0)
        )

    def grown(self, margin: float) -> Capsules:
        """The same, with every radius `margin` cm larger."""
        return Capsules(self.tail, self.head, self.tail_radius + margin, self.head_radius + margin)

    def along(self, start: Array, end: Array, share: Array, aside: Array) -> Capsules:
        """Capsules inside these: from `start` to `end` of the way, `share` of the radius, `aside` of the free room.

        Args:
            start: float32 [N, K] in [0, 1].
            end: float32 [N, K] in [0, 1].
            share: float32 [N, K], radius as a share of the outer one's.
            aside: float32 [N, K] in [-1, 1], 0 for the middle, ±1 for touching the wall.
        """
        step = self.head - self.tail
        normal = np.stack([-step[..., 1], step[..., 0]], axis=-1)
        normal /= np.sqrt((normal**2).sum(axis=-1, keepdims=True)) + 1e-6
        slope = self.head_radius - self.tail_radius
        outer = self.tail_radius + slope * 0.5 * (start + end)
        shift = (normal * (aside * outer * (1 - share))[..., None]).astype(np.float32)
        return Capsules(
            self.tail + step * start[..., None] + shift,
            self.tail + step * end[..., None] + shift,
            (self.tail_radius + slope * start) * share,
            (self.tail_radius + slope * end) * share,
        )

    def pick(self, index: Indices) -> Capsules:
        """Capsules `index` (int64 [N, M]) of each image."""
        both = index[..., None]
        return Capsules(
            np.take_along_axis(self.tail, both, axis=1),
            np.take_along_axis(self.head, both, axis=1),
            np.take_along_axis(self.tail_radius, index, axis=1),
            np.take_along_axis(self.head_radius, index, axis=1),
        )


def per_image(values: NDArray[Any]) -> Array:
    """float32 [N] made ready to meet images: [N, 1, 1]."""
    return np.asarray(values[:, None, None], np.float32)


class Grid:
    """Where the pixels of a batch lie in each patient.

    `across` and `down` (float32 [N, size]) are the image's own axes with the patient's origin, cm; `x` and `y`
    (float32 [N, size, size]) are the patient's, who may lie rolled to a side.

    Args:
        size: pixels on a side.
        half_width: float32 [N], half the field of view, cm.
        rotation: float32 [N], the patient's roll, radians.
        shift: float32 [N, 2], where the patient's origin lies on the image, cm from its centre.
    """

    def __init__(self, size: int, half_width: Array, rotation: Array, shift: Array) -> None:
        self.size, self.count = size, len(half_width)
        self.pixel: Array = (2 * half_width / size).astype(np.float32)
        self._cosine, self._sine = np.cos(rotation), np.sin(rotation)
        self._shift = shift
        line = (np.arange(size, dtype=np.float32) + 0.5) - size / 2
        across = self.across = line * self.pixel[:, None] - shift[:, :1]
        down = self.down = line * self.pixel[:, None] - shift[:, 1:]
        cosine, sine = per_image(self._cosine), per_image(self._sine)
        self.x: Array = cosine * across[:, None, :] + sine * down[:, :, None]
        self.y: Array = cosine * down[:, :, None] - sine * across[:, None, :]

    def empty(self) -> Array:
        """Coverage of nothing: float32 [N, size, size]."""
        return np.zeros((self.count, self.size, self.size), np.float32)

    def oval(self, x: Array, y: Array, half_width: Array, half_height: Array, squareness: float = 0.0) -> Array:
        """Coverage of an ellipse, or of something between ellipse (`squareness` 0) and rectangle (1)."""
        across = (self.x - per_image(x)) / per_image(half_width)
        down = (self.y - per_image(y)) / per_image(half_height)
        across *= across
        down *= down
        inside = 1 - across - down
        if squareness:
            across *= down
            # Beyond the corners the product would outgrow the rest and paint a second shape there.
            np.minimum(across, 1, out=across)
            across *= squareness**2
            inside += across
        inside *= per_image(0.5 * np.minimum(half_width, half_height) / self.pixel)
        inside += 0.5
        return np.clip(inside, 0, 1, out=inside)

    def union(self, capsules: Capsules, onto: Array | None = None) -> Array:
        """Coverage of all capsules together, float32 [N, size, size] (`onto`, if given, is added to and returned)."""
        onto = self.empty() if onto is None else onto
        image, which = np.nonzero(np.maximum(capsules.tail_radius, capsules.head_radius) > 0)
        if len(image):
            where, coverage = self._windows(capsules, image, which)
            np.maximum.at(onto.reshape(-1), where.reshape(-1), coverage.reshape(-1))
        return onto

    def paint(self, image: Array, capsules: Capsules, values: Array) -> None:
        """Paint capsules over `image`, one after the other; `values` are float32 [N, K]."""
        flat = image.reshape(-1)
        everyone = np.arange(self.count)
        for k in range(values.shape[1]):
            where, coverage = self._windows(capsules, everyone, np.full_like(everyone, k))
            under = flat[where]
            under += coverage * (values[:, k] - under)
            flat[where] = under

    def _windows(self, capsules: Capsules, image: Indices, which: Indices) -> tuple[Indices, Array]:
        """Flat pixel indices and coverages of M capsules, each [w, w, M], w just enough for the largest of them.

        Windows are small and many: with M innermost, numpy has long runs to work on.

        Args:
            capsules: [N, K] of them.
            image: int64 [M], the image that each stands in.
            which: int64 [M], which of the image's K capsules it is.
        """
        pixel = self.pixel[image]
        tail, head = (self._to_pixels(ends[image, which], image) for ends in (capsules.tail, capsules.head))
        first, last = capsules.tail_radius[image, which] / pixel, capsules.head_radius[image, which] / pixel
        reach = np.abs(head - tail).max(axis=0) / 2 + np.maximum(first, last)
        width = min(self.size, int(2 * np.ceil(reach.max() + 1.0)) + 1)
        origin = np.clip(np.floor((tail + head + 1 - width) / 2), 0, self.size - width).astype(np.int64)
        steps = np.arange(width)[:, None]
        columns, rows = origin[0] + steps, origin[1] + steps
        where = ((image * self.size + rows) * self.size)[:, None] + columns
        return where, _coverage(columns - tail[0], rows - tail[1], head - tail, first, last)

    def _to_pixels(self, points: Array, image: Indices) -> Array:
        """Patient's centimetres [M, 2] to pixel coordinates [2, M], where 0 is the middle of the first pixel."""
        cosine, sine = self._cosine[image], self._sine[image]
        across = cosine * points[:, 0] - sine * points[:, 1] + self._shift[image, 0]
        down = sine * points[:, 0] + cosine * points[:, 1] + self._shift[image, 1]
        return np.asarray(np.stack([across, down]) / self.pixel[image] + (self.size - 1) / 2, np.float32)


def _coverage(across: NDArray[Any], down: NDArray[Any], step: Array, first: Array, last: Array) -> Array:
    """Coverage [w, w, M] of capsules.

    Everything in pixels: `across` and `down` [w, M] from the tail to the window's pixels, `step` [2, M] from the tail
    to the head, radii `first` and `last` [M] there.
    """
    across, down = across.astype(np.float32), down.astype(np.float32)[:, None]
    square = step[0] ** 2 + step[1] ** 2 + 1e-6
    way = across * (step[0] / square) + down * (step[1] / square)
    np.clip(way, 0, 1, out=way)
    aside = across - way * step[0]
    aside *= aside
    away = down - way * step[1]
    away *= away
    aside += away
    np.sqrt(aside, out=aside)
    way *= last - first
    way += first + 0.5
    way -= aside
    # A vessel thinner than a pixel cannot fill one: its diameter bounds its coverage.
    np.clip(way, 0, np.clip(2 * np.maximum(first, last), 0, 1), out=way)
    return np.asarray(way, np.float32)
