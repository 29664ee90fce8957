"""Do adversarial examples that were made on the copycat fool the victim on its device?

The thief needs no gradient of the victim's: the copycat has one (Papernot et al. 2017, "Practical Black-Box Attacks
against Machine Learning", section 4). What any change of that size would have done is measured beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from attack.gradients import slope
from attack.oracle import Oracle
from foundation.errors import DataError, UsageError
from victim.step import as_input
from victim.training import predict

_BATCH = 32
_BRIGHTEST = 255


@dataclass(frozen=True)
class PgdSettings:
    """Projected gradient descent in the L-infinity ball (Madry et al. 2018, "Towards Deep Learning Models Resistant to
    Adversarial Attacks", eq. 2).

    Attributes:
        epsilon: most that a pixel may change, in levels of 255; whole levels, since a device takes pixels.
        steps: of gradient ascent.
        step_size: levels of 255 per step; None takes 2.5 epsilon / steps, which reaches the ball's edge from any start
            (ibid., section 5).

    Raises:
        UsageError: an epsilon outside 1 to 255, no step, or a step size that is not positive.
    """

    epsilon: int = 4
    steps: int = 10
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.epsilon <= _BRIGHTEST:
            raise UsageError(f"epsilon {self.epsilon} is no change of a pixel", hint="use 1 to 255, usually 2, 4 or 8")
        if self.steps < 1 or not self.step > 0:
            raise UsageError(f"{self.steps} steps of {self.step:g} levels lead nowhere")

    @property
    def step(self) -> float:
        """Levels of 255 per step."""
        return 2.5 * self.epsilon / max(self.steps, 1) if self.step_size is None else self.step_size


@dataclass(frozen=True)
class Transfer:
    """How far an attack on the copycat carries. Fooled, untargeted: no longer the class that the victim gives the clean
    image, whether that was right or wrong.

    Attributes:
        settings: of the attack.
        agreed: bool [N], the copycat gives the clean image the victim's class.
        copycat_fooled: bool [N], the copycat's class of the adversarial image is not the victim's of the clean one.
        victim_fooled: bool [N], the same of the victim's answer.
        noise_fooled: bool [N], the victim's answer to the image under random noise of the same size; the control.
        queries: asked for it: 2 N, or 3 N where the clean answers were not at hand.
    """

    settings: PgdSettings
    agreed: NDArray[np.bool_]
    copycat_fooled: NDArray[np.bool_]
    victim_fooled: NDArray[np.bool_]
    noise_fooled: NDArray[np.bool_]
    queries: int

    @property
    def copycat_rate(self) -> float:
        """Share of the images fooled on the copycat, of those it saw as the victim does; 0 where it saw none so."""
        return float(self.copycat_fooled[self.agreed].mean()) if self.agreed.any() else 0.0

    @property
    def rate(self) -> float:
        """Share of the images whose victim's answer the attack changes."""
        return float(self.victim_fooled.mean())

    @property
    def noise_rate(self) -> float:
        """Share of the images whose victim's answer random noise changes."""
        return float(self.noise_fooled.mean())

    @property
    def gain(self) -> float:
        """What knowing the copycat is worth: `rate` - `noise_rate`."""
        return self.rate - self.noise_rate


def measure_transfer(
    copycat: nn.Module,
    oracle: Oracle,
    images: NDArray[np.uint8],
    settings: PgdSettings,
    generator: torch.Generator,
    *,
    clean: NDArray[np.int64] | None = None,
) -> Transfer:
    """Attack the copycat, then ask the victim.

    The attack leads away from the victim's own answer, which a thief who asks knows. For the share among images that
    the victim gets right, give only those.

    Args:
        copycat: takes float32 [N, C, H, W] in [0, 1], gives logits [N, classes]; left in evaluation mode.
        oracle: the victim; only its best class is used.
        images: uint8 [N, H, W, C] that were not used in training.
        settings: of the attack.
        generator: the source of the random start and of the noise.
        clean: int64 [N], the victim's answers to `images` where they are known; None asks for them.

    Raises:
        DataError: no images, not one clean answer each, or a copycat of other classes than the victim's.
        DeviceError: the device failed.
    """
    if not len(images) or (clean is not None and len(clean) != len(images)):
        answers = "no" if clean is None else len(clean)
        raise DataError(f"adversarial examples of {len(images)} images with {answers} clean answers")
    guess = predict(copycat, images)
    if guess.shape[1] != oracle.classes:
        raise DataError(f"the copycat knows {guess.shape[1]} classes, the victim {oracle.classes}")
    known = oracle.query(images).top1() if clean is None else clean
    adversarial = adversarial_images(copycat, images, known, settings, generator)
    noisy = random_noise(images, settings.epsilon, generator)
    return Transfer(
        settings=settings,
        agreed=guess.argmax(1) == known,
        copycat_fooled=predict(copycat, adversarial).argmax(1) != known,
        victim_fooled=oracle.query(adversarial).top1() != known,
        noise_fooled=oracle.query(noisy).top1() != known,
        queries=len(images) * (3 if clean is None else 2),
    )


def adversarial_images(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: PgdSettings,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Images that `network` shall no longer give `labels`: PGD on its cross-entropy, from a random start.

    Args:
        network: takes float32 [N, C, H, W] in [0, 1], gives logits; left in evaluation mode, its weights untouched.
        images: uint8 [N, H, W, C].
        labels: int64 [N], the classes to lead away from.
        settings: how far.
        generator: the source of the start.

    Returns:
        uint8 [N, H, W, C]; no pixel differs by more than epsilon.
    """
    network.eval()
    parts = [
        _attacked(network, images[k : k + _BATCH], torch.from_numpy(labels[k : k + _BATCH]), settings, generator)
        for k in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts) if parts else images.copy()


def _attacked(
    network: nn.Module, images: NDArray[np.uint8], labels: Tensor, settings: PgdSettings, generator: torch.Generator
) -> NDArray[np.uint8]:
    # In levels, not in [0, 1]: the ball's bounds are whole numbers there, so that rounding at the end cannot leave it.
    centre = as_input(images) * float(_BRIGHTEST)
    centre.round_()
    low = (centre - settings.epsilon).clamp_min(0)
    high = (centre + settings.epsilon).clamp_max(_BRIGHTEST)
    start = torch.empty_like(centre).uniform_(-settings.epsilon, settings.epsilon, generator=generator)
    x = (centre + start).clamp(low, high)

    def loss(logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits.float(), labels, reduction="none")

    for _ in range(settings.steps):
        rise = slope(network, x / _BRIGHTEST, loss)
        x = (x + settings.step * rise.sign()).clamp(low, high)
    return np.ascontiguousarray(x.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def random_noise(images: NDArray[np.uint8], epsilon: int, generator: torch.Generator) -> NDArray[np.uint8]:
    """Every pixel uint8 [N, H, W, C] lighter or darker by `epsilon`, at random.

    The strongest noise in the ball: an attack, too, ends mostly in the ball's corners.
    """
    signs = torch.randint(0, 2, images.shape, generator=generator).numpy() * 2 - 1
    return np.asarray(np.clip(images + signs * epsilon, 0, _BRIGHTEST), np.uint8)
