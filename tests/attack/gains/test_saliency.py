"""Saliency maps against gradients and ranks that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn
from victims_in_process import numbered_images

from attack.gains.saliency import SmoothGrad, compare_maps, measure_saliency, saliency_maps
from foundation.errors import DataError, UsageError


class Weighted(nn.Module):
    """Two classes; the logit of class c is the sum of its weights [C, H, W] times the pixels, squared if asked."""

    def __init__(self, weights: Tensor, *, squared: bool = False, favours: int | None = None) -> None:
        super().__init__()
        self.weights, self.squared = weights, squared
        self.bias = torch.zeros(len(weights))
        if favours is not None:
            self.bias[favours] = 1e4

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x**2 if self.squared else x, self.weights) + self.bias


def weights(seed: int, channels: int = 1) -> Tensor:
    return torch.randn((2, channels, 16, 16), generator=torch.Generator().manual_seed(seed))


def test_the_map_of_a_linear_network_is_the_size_of_its_weights() -> None:
    w = weights(0, channels=3)
    found = saliency_maps(Weighted(w), numbered_images(3, shape=(16, 16, 3)), np.array([0, 1, 0]))
    assert found.shape == (3, 16, 16)
    expected = w.abs().amax(1).numpy()
    np.testing.assert_allclose(found, expected[[0, 1, 0]], rtol=1e-5)


def test_smoothing_averages_gradients_over_noise() -> None:
    w, images, labels = weights(0), numbered_images(2), np.array([0, 1])
    network = Weighted(w, squared=True)
    plain = saliency_maps(network, images, labels)
    np.testing.assert_allclose(saliency_maps(network, images, labels, SmoothGrad(3, 0.0)), plain, rtol=1e-5)
    # The gradient 2 w x is linear in x: its mean over noise around x is itself, but for chance.
    many = saliency_maps(network, images, labels, SmoothGrad(400, 0.1))
    one = saliency_maps(network, images, labels, SmoothGrad(1, 0.1))
    assert 0 < np.abs(many - plain).mean() < np.abs(one - plain).mean() / 5


def test_a_perfect_copy_agrees_everywhere_and_beats_both_controls() -> None:
    images = numbered_images(12)
    own = Weighted(weights(1), squared=True)
    found = measure_saliency(own, own, images, Weighted(weights(2)))
    assert (found.copycat.overlap == 1).all()
    np.testing.assert_allclose(found.copycat.correlation, 1)
    assert np.abs(found.untrained.correlation).max() < 0.3
    assert found.shuffled.correlation.max() < 0.8
    assert found.correlation_gain == pytest.approx(1 - found.shuffled.correlation.mean())
    assert found.overlap_gain == pytest.approx(1 - found.shuffled.overlap.mean())


def test_maps_that_are_the_same_for_every_image_gain_nothing() -> None:
    # A linear network looks at the same pixels whatever it is shown.
    own = Weighted(weights(1), favours=0)
    found = measure_saliency(own, own, numbered_images(12), Weighted(weights(2)))
    assert found.copycat.correlation.min() > 0.99
    assert (found.correlation_gain, found.overlap_gain) == (0, 0)


def test_a_network_of_other_weights_agrees_no_more_than_the_controls() -> None:
    found = measure_saliency(Weighted(weights(1)), Weighted(weights(3)), numbered_images(12), Weighted(weights(2)))
    assert found.correlation_gain < 0.1
    assert found.overlap_gain < 0.1


def test_the_untrained_network_is_a_control() -> None:
    # It happens to be the victim itself: nothing is left to gain.
    found = measure_saliency(Weighted(weights(1)), Weighted(weights(3)), numbered_images(12), Weighted(weights(3)))
    assert found.correlation_gain < -0.7
    assert found.overlap_gain < -0.7


def test_the_shuffled_images_are_others_of_the_same_class() -> None:
    # What a linear network looks at depends on the class only: within a class nothing tells images apart.
    images = numbered_images(40)
    own = Weighted(weights(1) - weights(1).mean((1, 2, 3), keepdim=True))
    labels = own(torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0).argmax(1)
    assert 5 < labels.sum() < 35
    found = measure_saliency(own, own, images, Weighted(weights(2)))
    assert (found.shuffled.correlation > 0.99).sum() == 38


def test_the_class_that_the_victim_gives_is_compared_even_if_the_copycat_gives_another() -> None:
    victim, copycat = weights(1), weights(4)
    copycat[0] = victim[0]
    found = measure_saliency(
        Weighted(copycat, favours=1), Weighted(victim, favours=0), numbered_images(12), Weighted(weights(2))
    )
    np.testing.assert_allclose(found.copycat.correlation, 1)


def test_correlation_is_spearman_s_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 9, (5, 8, 8)).astype(np.float32) for _ in range(2))
    found = compare_maps(first, second)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found.correlation, expected, rtol=1e-12)


def test_overlap_counted_by_hand() -> None:
    def peaks(*pixels: int) -> NDArray[np.float32]:
        values = np.zeros(20, np.float32)
        values[list(pixels)] = 1
        return values.reshape(1, 4, 5)

    # The most salient tenth of 20 pixels is two of them.
    found = [compare_maps(peaks(3, 9), other).overlap[0] for other in (peaks(3, 9), peaks(3, 11), peaks(5, 11))]
    assert found == [1.0, 1 / 3, 0.0]


def test_a_constant_map_correlates_with_nothing() -> None:
    flat, other = np.zeros((1, 4, 4), np.float32), np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert compare_maps(flat, other).correlation.tolist() == [0.0]


def test_what_cannot_be_compared_is_refused() -> None:
    two, three = Weighted(weights(0)), Weighted(torch.zeros(3, 1, 16, 16))
    for few in (0, 1):
        with pytest.raises(DataError, match=f"of {few} images"):
            measure_saliency(two, two, numbered_images(few), two)
    for trio in ((three, two, two), (two, two, three), (two, three, two)):
        with pytest.raises(DataError, match="classes"):
            measure_saliency(trio[0], trio[1], numbered_images(2), trio[2])
    with pytest.raises(DataError, match="compared"):
        compare_maps(np.zeros((1, 4, 4), np.float32), np.zeros((2, 4, 4), np.float32))
    with pytest.raises(UsageError):
        SmoothGrad(0)
    with pytest.raises(UsageError):
        SmoothGrad(sigma=-0.1)
