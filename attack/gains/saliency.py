"""Does the copycat look where the victim looks? Agreement of input-gradient saliency maps.

Measured by who evaluates: it needs the victim's float network, which the thief has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from attack.gradients import slope
from foundation.errors import DataError, UsageError
from victim.step import as_input
from victim.training import predict

_BATCH = 128
TOP_SHARE = 0.1


@dataclass(frozen=True)
class SmoothGrad:
    """Mean gradient over noisy copies of an image (Smilkov et al. 2017, "SmoothGrad", section 3).

    Attributes:
        samples: copies.
        sigma: standard deviation of the noise, as a share of the pixels' range.
        seed: of the noise; every network sees the same.

    Raises:
        UsageError: no copy, or a negative deviation.
    """

    samples: int = 16
    sigma: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or not self.sigma >= 0:
            raise UsageError(f"SmoothGrad over {self.samples} copies with noise of {self.sigma}")


@dataclass(frozen=True)
class MapAgreement:
    """Saliency maps against the victim's, image by image.

    Attributes:
        correlation: float64 [N] in [-1, 1], Spearman's rank correlation over the pixels; 0 where a map is constant.
        overlap: float64 [N] in [0, 1], intersection over union of the 10 % most salient pixels; chance gives 0.05.
    """

    correlation: NDArray[np.float64]
    overlap: NDArray[np.float64]


@dataclass(frozen=True)
class SaliencyAgreement:
    """The copycat's agreement with the victim, and two that no theft is needed for. Gains are over the higher of them.

    Attributes:
        copycat: of the copycat's maps.
        untrained: of a network of its architecture that learned nothing (the randomisation test of Adebayo et al. 2018,
            "Sanity Checks for Saliency Maps", section 3): its maps, too, follow an image's edges and the strides' grid.
        shuffled: of the copycat's maps of other images, of the same class where there are any: what is alike in all
            maps, since all images show the same organs in the same place.
    """

    copycat: MapAgreement
    untrained: MapAgreement
    shuffled: MapAgreement

    @property
    def correlation_gain(self) -> float:
        """Mean correlation, less the higher control's."""
        own, *controls = (m.correlation.mean() for m in (self.copycat, self.untrained, self.shuffled))
        return float(own - max(controls))

    @property
    def overlap_gain(self) -> float:
        """Mean overlap, less the higher control's."""
        own, *controls = (m.overlap.mean() for m in (self.copycat, self.untrained, self.shuffled))
        return float(own - max(controls))


def measure_saliency(
    copycat: nn.Module,
    victim: nn.Module,
    images: NDArray[np.uint8],
    untrained: nn.Module,
    smoothing: SmoothGrad | None = None,
) -> SaliencyAgreement:
    """Compare maps of the class that the victim gives each image.

    Args:
        copycat: the thief's network.
        victim: the victim's float network.
        images: uint8 [N, H, W, C], N >= 2.
        untrained: of the copycat's architecture, with initial weights; see `victim.models.build`.
        smoothing: None takes the plain gradient.

    Raises:
        DataError: fewer than two images, or networks of different classes.
    """
    if len(images) < 2:
        raise DataError(f"saliency maps of {len(images)} images: there are none to tell them from")
    logits = predict(victim, images)
    for network in (copycat, untrained):
        if (classes := predict(network, images[:1]).shape[1]) != logits.shape[1]:
            raise DataError(f"saliency maps of {classes} and {logits.shape[1]} classes cannot be compared")
    labels = logits.argmax(1)
    reference, own, blank = (
        saliency_maps(network, images, labels, smoothing) for network in (victim, copycat, untrained)
    )
    return SaliencyAgreement(
        copycat=compare_maps(own, reference),
        untrained=compare_maps(blank, reference),
        shuffled=compare_maps(own[_others(labels)], reference),
    )


def _others(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image another one: the next of its class; for a class's last the first of the next class."""
    order = np.argsort(labels, kind="stable")
    others = np.empty_like(order)
    others[order] = np.roll(order, -1)
    return others


def saliency_maps(
    network: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], smoothing: SmoothGrad | None = None
) -> NDArray[np.float32]:
    """Size of the gradient of a class's logit by each pixel (Simonyan et al. 2013, "Deep Inside Convolutional
    Networks", section 3.1).

    Args:
        network: takes float32 [N, C, H, W] in [0, 1], gives logits; left in evaluation mode.
        images: uint8 [N, H, W, C].
        labels: int64 [N], the class whose logit is meant.
        smoothing: None takes the plain gradient.

    Returns:
        float32 [N, H, W], not negative: the largest over the channels.
    """
    network.eval()
    noise = torch.Generator().manual_seed(smoothing.seed if smoothing else 0)
    maps = []
    for k in range(0, len(images), _BATCH):
        x, chosen = as_input(images[k : k + _BATCH]), torch.from_numpy(labels[k : k + _BATCH])
        if smoothing is None:
            gradient = _gradient(network, x, chosen)
        else:
            gradient = torch.zeros_like(x)
            for _ in range(smoothing.samples):
                noisy = x + smoothing.sigma * torch.empty_like(x).normal_(generator=noise)
                gradient += _gradient(network, noisy, chosen) / smoothing.samples
        maps.append(gradient.abs().amax(1).numpy())
    return np.concatenate(maps)


def _gradient(network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    return slope(network, x, lambda logits: logits.float().gather(1, labels[:, None]))


def compare_maps(maps: NDArray[np.float32], reference: NDArray[np.float32]) -> MapAgreement:
    """Agreement of maps [N, H, W] with as many others.

    Raises:
        DataError: not of one shape.
    """
    if maps.shape != reference.shape:
        raise DataError(f"saliency maps of {maps.shape} and {reference.shape} cannot be compared")
    first, second = maps.reshape(len(maps), -1), reference.reshape(len(reference), -1)
    return MapAgreement(_spearman(first, second), _overlap(first, second))


def _spearman(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pearson's correlation of the ranks, row by row."""
    a, b = (rankdata(values, axis=1) for values in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0), np.float64)


def _overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = _top(first), _top(second)
    return np.asarray((a & b).sum(axis=1) / (a | b).sum(axis=1), np.float64)


def _top(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest tenth of each row; of equal ones the first."""
    count = math.ceil(TOP_SHARE * values.shape[1])
    chosen = np.zeros(values.shape, np.bool_)
    np.put_along_axis(chosen, np.argsort(-values, axis=1, kind="stable")[:, :count], True, axis=1)
    return chosen
