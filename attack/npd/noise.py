"""Statistical textures: coloured noise, Perlin noise, Worley cells."""

from __future__ import annotations

import numpy as np

from attack.npd.finish import Floats, coloured, grid, per_image, spread, uniform


def coloured_noise(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Random phases under an amplitude spectrum 1 / (|fx|^a + |fy|^b), a and b in [0.5, 3.5].

    Baradad et al. 2021, "Learning to See by Looking at Noise", section 3 (spectrum); natural images have a = b ≈ 1
    (Field 1987). Half of the images are isotropic, 1 / |f|^a.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    fy = np.abs(np.fft.fftfreq(height)).astype(np.float32)[:, None] * height
    fx = np.fft.rfftfreq(width).astype(np.float32)[None, :] * width
    a, b = uniform(generator, 0.5, 3.5, count), uniform(generator, 0.5, 3.5, count)
    separate = _powers(fx, a) + _powers(fy, b)
    around = _powers(np.sqrt(fx**2 + fy**2), a)
    amplitude = np.where(per_image(generator.random(count) < 0.5), separate, around)
    amplitude[:, 0, 0] = np.inf  # no mean: the tone curve sets the brightness
    phase = uniform(generator, 0, 2 * np.pi, count, channels, height, width // 2 + 1)
    spectrum = (np.cos(phase) + np.complex64(1j) * np.sin(phase)) / amplitude[:, None]
    waves = np.fft.irfft2(spectrum, s=(height, width)).astype(np.float32)
    fields = spread(waves.reshape(-1, height, width)).reshape(waves.shape)
    if channels == 1:
        return coloured(fields[:, 0], 1, generator)
    shared = uniform(generator, 0, 1, count, 1, 1, 1)
    return np.asarray(shared * fields[:, :1] + (1 - shared) * fields, np.float32)


def _powers(frequencies: Floats, exponents: Floats) -> Floats:
    """Each image's power of the frequencies: [N, …]."""
    logs = np.log(np.maximum(frequencies, np.float32(1e-6)))
    return np.asarray(np.exp(logs * per_image(exponents)), np.float32)


def perlin(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Octaves of gradient noise (Perlin 1985, 2002) as clouds, turbulence, ridges, marble or wood grain.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    octaves = [gradient_noise(count, height, width, cells, generator) for cells in (2, 4, 8, 16)]
    fall = uniform(generator, 0.2, 0.9, count)
    weights = [per_image(fall**power) for power in range(len(octaves))]
    clouds = sum(w * o for w, o in zip(weights, octaves, strict=True))
    turbulence = sum(w * np.abs(o) for w, o in zip(weights, octaves, strict=True))
    y, x = grid(height, width)
    angle = per_image(uniform(generator, 0, 2 * np.pi, count))
    rate = per_image(uniform(generator, 2, 14, count))
    marble = np.sin(rate * (x * np.cos(angle) + y * np.sin(angle)) + 6 * turbulence)
    wood = np.sin(rate * 2 * np.hypot(x + clouds, y + 0.5 * clouds))
    kind = per_image(generator.integers(0, 5, count))
    field = np.select([kind == 0, kind == 1, kind == 2, kind == 3], [clouds, turbulence, -turbulence, marble], wood)
    return coloured(field.astype(np.float32), channels, generator)


def gradient_noise(count: int, height: int, width: int, cells: int, generator: np.random.Generator) -> Floats:
    """One octave of Perlin noise, `cells` lattice cells to a side: float32 [N, H, W], about -0.7 … 0.7.

    The sum over a pixel's four corners separates into products of matrices: interpolation weights along y and x,
    around the lattice of gradients.
    """
    near_y, far_y = _lattice_weights(height, cells, generator)
    near_x, far_x = _lattice_weights(width, cells, generator)
    angle = uniform(generator, 0, 2 * np.pi, count, cells + 2, cells + 2)
    return np.asarray(near_y @ np.cos(angle) @ far_x.T + far_y @ np.sin(angle) @ near_x.T, np.float32)


def _lattice_weights(length: int, cells: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Weights of the lattice points for each pixel of a line, and weights times distances.

    Both float32 [length, cells + 2].
    """
    place = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / length)
    place = place + np.float32(generator.random())
    left = np.floor(place).astype(np.int64)
    within = place - left
    fade = within**3 * (within * (within * 6 - 15) + 10)
    rows = np.arange(length)
    weights, moments = np.zeros((2, length, cells + 2), np.float32)
    weights[rows, left], weights[rows, left + 1] = 1 - fade, fade
    moments[rows, left], moments[rows, left + 1] = (1 - fade) * within, fade * (within - 1)
    return weights, moments


def cells(count: int, height: int, width: int, channels: int, generator: np.random.Generator) -> Floats:
    """Cellular texture (Worley 1996) of 6 to 28 cells: distance to the nearest point, walls between cells, or mosaic.

    Returns:
        float32 [N, C, H, W] in [0, 1].
    """
    most = 28
    y, x = grid(height, width)
    used = generator.integers(6, most + 1, count)
    absent = np.where(np.arange(most) < used[:, None], np.float32(0), np.float32(100))
    points_y = uniform(generator, -1.1, 1.1, count, most) * np.float32(height / min(height, width)) + absent
    points_x = uniform(generator, -1.1, 1.1, count, most) * np.float32(width / min(height, width))
    tones = uniform(generator, 0, 1, count, most)
    stretch = per_image(uniform(generator, 0.5, 2, count))
    first = np.full((count, height, width), np.inf, np.float32)
    second, mosaic = first.copy(), np.zeros_like(first)
    for point in range(most):
        distance = (y - per_image(points_y[:, point])) ** 2 * stretch + (x - per_image(points_x[:, point])) ** 2
        np.copyto(mosaic, per_image(tones[:, point]), where=distance < first)
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    kind = per_image(generator.integers(0, 4, count))
    near, next_near = np.sqrt(first), np.sqrt(second)
    walls = np.minimum(next_near - near, np.float32(0.12))
    field = np.select([kind == 0, kind == 1, kind == 2], [near, walls, mosaic], next_near - near)
    return coloured(field.astype(np.float32), channels, generator)
