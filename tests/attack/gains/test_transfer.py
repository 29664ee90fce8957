"""Adversarial examples: within the bound as pixels, better than noise, and counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from victims_in_process import KnownVictim, brighter_half, half_images, numbered_images

from attack.gains.transfer import PgdSettings, Transfer, adversarial_images, measure_transfer, random_noise
from foundation.answers import AnswerPolicy
from foundation.errors import DataError, DeviceError, UsageError


class HalfBrightness(nn.Module):
    """What `brighter_half` works out, with a gradient: a perfect copycat."""

    def __init__(self, scale: float = 255 / 8) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[2] // 2
        gap = x[:, :, half:].mean((1, 2, 3)) - x[:, :, :half].mean((1, 2, 3))
        return torch.stack([-gap, gap], 1) * self.scale


def close_images(count: int = 60) -> NDArray[np.uint8]:
    """Images of which one half is brighter by up to 12 levels, uint8 [count, 16, 16, 1]."""
    rng = np.random.default_rng(3)
    images = rng.integers(60, 190, (count, 16, 16, 1)).astype(np.float64)
    images -= images.mean(axis=(2, 3), keepdims=True) - 128
    images[:, 8:] += rng.uniform(-12, 12, (count, 1, 1, 1))
    return np.clip(images, 0, 255).astype(np.uint8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def change(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(images.astype(np.int64) - others)


@pytest.mark.parametrize("epsilon", [1, 4, 16])
@pytest.mark.parametrize("shape", [(16, 16, 1), (12, 20, 3)])
def test_no_pixel_differs_by_more_than_epsilon_also_after_rounding(epsilon: int, shape: tuple[int, int, int]) -> None:
    images = numbered_images(20, shape=shape)
    images[0], images[1] = 0, 255
    settings = PgdSettings(epsilon, steps=3, step_size=epsilon * 0.7)
    found = adversarial_images(HalfBrightness(), images, np.zeros(20, np.int64), settings, seeded())
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    assert change(images, found).max() == epsilon


def test_a_linear_copycat_is_attacked_with_the_whole_bound() -> None:
    images = np.full((2, 16, 16, 1), 100, np.uint8)
    found = adversarial_images(HalfBrightness(), images, np.array([0, 1]), PgdSettings(5), seeded())
    # Away from "upper half brighter": the lower half lighter, the upper darker; and the other way round.
    assert (found[0, :8] == 95).all()
    assert (found[0, 8:] == 105).all()
    assert (found[1, :8] == 105).all()
    assert (found[1, 8:] == 95).all()


def test_noise_has_the_size_of_the_attack_and_no_direction() -> None:
    images = numbered_images(30)
    noisy = random_noise(images, 8, seeded())
    inside = (images >= 8) & (images <= 247)
    assert set(np.unique(change(images, noisy)[inside])) == {8}
    assert abs((noisy[inside] > images[inside]).mean() - 0.5) < 0.02


def test_what_fools_a_good_copy_fools_the_victim_and_noise_does_not() -> None:
    images = close_images()
    found = measure_transfer(HalfBrightness(), KnownVictim(brighter_half), images, PgdSettings(8), seeded())
    assert found.agreed.all()
    assert found.rate > 0.9
    assert found.copycat_rate == found.rate
    assert found.noise_rate < 0.2
    assert found.gain == pytest.approx(found.rate - found.noise_rate)


def test_a_copycat_that_learned_the_opposite_helps_nobody() -> None:
    images = half_images(60, 0)
    found = measure_transfer(HalfBrightness(-30.0), KnownVictim(brighter_half), images, PgdSettings(8), seeded())
    assert not found.agreed.any()
    assert found.copycat_rate == 0.0
    assert found.rate == 0.0


def test_the_attack_leads_away_from_the_victim_s_answer_not_from_the_copycat_s() -> None:
    # The copycat is a little wrong of every image; what it knows of directions still serves.
    biased = HalfBrightness()
    shifted = nn.Sequential(biased, nn.Linear(2, 2))
    with torch.no_grad():
        shifted[1].weight.copy_(torch.eye(2))
        shifted[1].bias.copy_(torch.tensor([100.0, 0.0]))
    images = close_images()
    found = measure_transfer(shifted, KnownVictim(brighter_half), images, PgdSettings(8), seeded())
    truth = brighter_half(images).argmax(1)
    assert found.agreed.tolist() == (truth == 0).tolist()
    assert found.victim_fooled[truth == 1].mean() > 0.9


def test_queries_are_counted_and_known_answers_not_asked_again() -> None:
    images = half_images(10, 1)
    victim = KnownVictim(brighter_half)
    first = measure_transfer(HalfBrightness(), victim, images, PgdSettings(4), seeded())
    assert first.queries == victim.count == 30
    known = brighter_half(images).argmax(1)
    second = measure_transfer(HalfBrightness(), victim, images, PgdSettings(4), seeded(), clean=known)
    assert second.queries == victim.count - 30 == 20
    assert (second.victim_fooled == first.victim_fooled).all()


def test_one_seed_gives_one_result_and_weights_stay_as_they_were() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    labels = np.zeros(8, np.int64)
    found = [
        adversarial_images(network, numbered_images(8), labels, PgdSettings(4), seeded(seed)) for seed in (1, 1, 2)
    ]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_rates_counted_by_hand() -> None:
    def row(text: str) -> NDArray[np.bool_]:
        return np.array([c == "x" for c in text])

    found = Transfer(PgdSettings(), row("xxx-"), row("x--x"), row("xx--"), row("x---"), 8)
    assert found.copycat_rate == 1 / 3
    assert (found.rate, found.noise_rate, found.gain) == (1 / 2, 1 / 4, 1 / 4)


def test_only_the_best_class_of_soft_answers_counts() -> None:
    images = half_images(20, 2)
    soft = KnownVictim(brighter_half, policy=AnswerPolicy("scores"))
    hard = KnownVictim(brighter_half)
    results = [measure_transfer(HalfBrightness(), v, images, PgdSettings(8), seeded()) for v in (soft, hard)]
    assert (results[0].victim_fooled == results[1].victim_fooled).all()


def test_what_cannot_be_compared_is_refused() -> None:
    victim, images = KnownVictim(brighter_half), half_images(4, 0)
    with pytest.raises(DataError, match="0 images"):
        measure_transfer(HalfBrightness(), victim, images[:0], PgdSettings(), seeded())
    with pytest.raises(DataError, match="3 clean"):
        measure_transfer(HalfBrightness(), victim, images, PgdSettings(), seeded(), clean=np.zeros(3, np.int64))
    with pytest.raises(DataError, match="2 classes, the victim 3"):
        measure_transfer(HalfBrightness(), KnownVictim(brighter_half, classes=3), images, PgdSettings(), seeded())
    assert victim.count == 0


def test_a_device_that_is_lost_is_the_caller_s_to_know() -> None:
    with pytest.raises(DeviceError, match="cable"):
        measure_transfer(
            HalfBrightness(), KnownVictim(brighter_half, fails_at=2), half_images(4, 0), PgdSettings(), seeded()
        )


@pytest.mark.parametrize("wrong", [(0, 10, None), (256, 10, None), (4, 0, None), (4, 10, 0.0), (4, 10, float("nan"))])
def test_settings_that_attack_nothing_are_refused(wrong: tuple[int, int, float | None]) -> None:
    with pytest.raises(UsageError):
        PgdSettings(*wrong)
