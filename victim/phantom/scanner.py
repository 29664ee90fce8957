"""Two hospitals' scanners: contrast timing, field of view, reconstruction kernel, noise and display window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from victim.phantom.chance import Array, Chance

_MIDDLE_GREY = 0.38

Hospital = Literal["victim", "proxy"]


@dataclass(frozen=True)
class Scanner:
    """How a hospital makes its pictures.

    Attributes:
        number: tells the hospitals' patients apart.
        pulmonary_enhancement: mean and deviation of the contrast in the pulmonary arteries, HU.
        lateness: mean and deviation of the bolus timing, 0 for right heart only, 1 for left heart as well.
        field_of_view: in relation to what the patient needs.
        table_height: the patient's centre below the image's, cm.
        table_curve: of the table top, 0 for flat, 1/cm.
        cutoff: where the reconstruction kernel ends, in cycles per pixel (Nyquist is 0.5).
        boost: how much it lifts the frequencies before that; 0 for a soft kernel.
        noise: standard deviation in the middle of the body, HU.
        window: HU shown as black, as middle grey and as white: steeper above the middle, so that lungs and contrast
            are seen in one picture (a blended window).
    """

    number: int
    pulmonary_enhancement: tuple[float, float]
    lateness: tuple[float, float]
    field_of_view: float
    table_height: float
    table_curve: float
    cutoff: float
    boost: float
    noise: float
    window: tuple[float, float, float]


SCANNERS: dict[Hospital, Scanner] = {
    "victim": Scanner(
        number=0,
        pulmonary_enhancement=(370.0, 65.0),
        lateness=(0.35, 0.22),
        field_of_view=1.0,
        table_height=0.2,
        table_curve=0.012,
        cutoff=0.48,
        boost=0.15,
        noise=26.0,
        window=(-1000.0, -200.0, 520.0),
    ),
    "proxy": Scanner(
        number=1,
        pulmonary_enhancement=(345.0, 60.0),
        lateness=(0.7, 0.2),
        field_of_view=1.09,
        table_height=-0.6,
        table_curve=0.0,
        cutoff=0.6,
        boost=1.3,
        noise=30.0,
        window=(-1120.0, -230.0, 600.0),
    ),
}


@lru_cache(maxsize=8)
def _transfer(size: int, cutoff: float, boost: float) -> tuple[Array, Array]:
    """The kernel's modulation transfer function and the noise spectrum it leaves, each float32 [size, size // 2 + 1].

    Filtered back-projection ramps the noise up with the frequency until the kernel cuts it off: the power of the noise
    goes with |f| MTF². The noise spectrum is scaled so that white noise of deviation 1 keeps deviation 1.
    """
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    transfer = (1 + boost * (radius / 0.35) ** 2 * np.exp(-((radius / 0.35) ** 2))) * np.exp(-((radius / cutoff) ** 4))
    noise = np.sqrt(radius + 0.01) * transfer
    return transfer.astype(np.float32), unit_spectrum(noise, size)


def unit_spectrum(shape: NDArray[np.float64], size: int) -> Array:
    """Scale an amplitude spectrum so that standard complex noise under it becomes a field of deviation 1.

    Args:
        shape: float64 [size, size // 2 + 1], the half spectrum of a real field.
        size: pixels on a side.
    """
    # Each inner column of the half spectrum stands for two columns of the whole one.
    twice = np.full(shape.shape[1], 2.0)
    twice[0] = 1.0
    twice[-1] = 1.0 if size % 2 == 0 else 2.0
    power = 2.0 * (shape**2 * twice).sum()
    return np.asarray(shape * size**2 / np.sqrt(power), np.float32)


def field(noise: Array, spectrum: Array) -> Array:
    """Coloured noise, float32 [N, size, size], from standard normal float32 [N, size, size // 2 + 1, 2]."""
    size = noise.shape[1]
    shaped = noise.view(np.complex64)[..., 0] * spectrum
    return np.asarray(np.fft.irfft2(shaped, s=(size, size)), np.float32)


def acquire(attenuation: Array, noise: Array, tissue: Array, scanner: Scanner, chance: Chance) -> NDArray[np.uint8]:
    """Make the picture that the hospital's screen shows.

    Args:
        attenuation: float32 [N, size, size], HU, not yet blurred.
        noise: float32 [N, size, size // 2 + 1, 2], standard normal.
        tissue: float32 [N, size, size] in [0, 1], what of the body the rays cross: more of it, more noise.
        scanner: the hospital's.
        chance: dose, for each image.

    Returns:
        uint8 [N, size, size].
    """
    size = attenuation.shape[1]
    transfer, spectrum = _transfer(size, scanner.cutoff, scanner.boost)
    picture = np.asarray(np.fft.irfft2(np.fft.rfft2(attenuation) * transfer, s=(size, size)), np.float32)
    grain = field(noise, spectrum)
    grain *= tissue
    grain *= (scanner.noise * np.exp(chance.normal(0, 0.2)))[:, None, None]
    picture += grain
    black, middle, white = scanner.window
    shown = (picture - middle) * ((1 - _MIDDLE_GREY) * 255 / (white - middle))
    picture -= middle
    picture *= _MIDDLE_GREY * 255 / (middle - black)
    # The steeper of two lines that meet at the middle.
    np.maximum(picture, shown, out=picture)
    picture += _MIDDLE_GREY * 255
    return np.clip(np.rint(picture, out=picture), 0, 255, out=picture).astype(np.uint8)


@lru_cache(maxsize=8)
def texture_spectrum(size: int) -> Array:
    """Spectrum of the lungs' own texture (small vessels and airways that no pixel resolves), as `unit_spectrum`."""
    radius = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size)[None, :])
    return unit_spectrum((radius > 0) * (radius < 20) / (2.0 + radius) ** 1.3, size)
