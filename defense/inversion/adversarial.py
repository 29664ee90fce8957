"""Images attacked so that a split network errs: FGSM, PGD and JSMA, on the whole network from image to logits.

FGSM is Goodfellow et al. 2015, "Explaining and Harnessing Adversarial Examples", section 4; PGD is
`attack.gains.transfer`'s; JSMA is Papernot et al. 2016, "The Limitations of Deep Learning in Adversarial Settings",
algorithm 1, as ART has it (the extra `art`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from attack.gains.transfer import PgdSettings, adversarial_images
from attack.gradients import slope
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from victim.step import as_images, as_input

_BATCH = 32


@dataclass(frozen=True)
class AdversarialSettings:
    """How far an image is changed.

    Attributes:
        epsilon: most that a pixel changes, in levels of 255 (FGSM, PGD).
        steps: of PGD.
        theta: change of each pixel that JSMA takes, in units of the pixel range.
        gamma: largest share of the pixels that JSMA changes.
    """

    epsilon: int = 4
    steps: int = 10
    theta: float = 0.2
    gamma: float = 0.05

    def __post_init__(self) -> None:
        PgdSettings(self.epsilon, self.steps)
        if not 0 < abs(self.theta) <= 1 or not 0 < self.gamma <= 1:
            raise UsageError(f"JSMA with theta {self.theta:g} and gamma {self.gamma:g}", hint="both lie in (0, 1]")


class WholeNetwork(nn.Module):
    """A split network as one: images float32 [B, C, H, W] in [0, 1] to logits [B, classes], as at inference.

    The protection's noise is the same at every call.
    """

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.client, self.server, self._model = model.client, model.server, model

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        return self._model.logits(x)


def attacked_images(
    model: SplitModel,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    method: str,
    settings: AdversarialSettings,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Images that the network shall no longer give their labels.

    Args:
        model: left in evaluation mode, its weights untouched.
        images: uint8 [N, H, W, C].
        labels: int64 [N], to lead away from.
        method: `fgsm`, `pgd` or `jsma`.
        settings: how far.
        generator: the source of PGD's start.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        UsageError: unknown method, or JSMA without ART.
        DataError: not one label for each image.
    """
    if method not in ADVERSARIAL:
        raise UsageError(f"unknown adversarial attack {method!r}", hint=f"use {', '.join(ADVERSARIAL)}")
    if len(images) != len(labels):
        raise DataError(f"{len(images)} images to attack, {len(labels)} labels")
    if not len(images):
        return images.copy()
    return ADVERSARIAL[method](WholeNetwork(model).eval(), images, labels, settings, generator)


def _fgsm(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: AdversarialSettings,
    generator: torch.Generator,  # noqa: ARG001
) -> NDArray[np.uint8]:
    parts = []
    for k in range(0, len(images), _BATCH):
        x, y = as_input(images[k : k + _BATCH]), torch.from_numpy(labels[k : k + _BATCH])
        rise = slope(network, x, lambda logits, y=y: functional.cross_entropy(logits, y, reduction="none"))  # type: ignore[misc]
        parts.append(as_images((x + rise.sign() * settings.epsilon / 255).clamp(0, 1)))
    return np.concatenate(parts)


def _pgd(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: AdversarialSettings,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    return adversarial_images(network, images, labels, PgdSettings(settings.epsilon, settings.steps), generator)


def _jsma(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: AdversarialSettings,
    generator: torch.Generator,  # noqa: ARG001
) -> NDArray[np.uint8]:
    # Late: `attack.art` says what to install where ART is missing.
    import attack.art  # noqa: F401, I001
    from art.attacks.evasion import SaliencyMapMethod
    from art.estimators.classification import PyTorchClassifier

    x = as_input(images)
    with torch.no_grad():
        logits = network(x[:1])
    classifier = PyTorchClassifier(
        network, nn.CrossEntropyLoss(), tuple(x.shape[1:]), logits.shape[1], clip_values=(0.0, 1.0), device_type="cpu"
    )
    away = _second_best(network, x, torch.from_numpy(labels)).numpy()
    jsma = SaliencyMapMethod(classifier, settings.theta, settings.gamma, batch_size=_BATCH, verbose=False)
    targets = np.eye(logits.shape[1], dtype=np.float32)[away]
    found = jsma.generate(np.ascontiguousarray(x.numpy()), targets)
    network.eval()
    return as_images(torch.from_numpy(np.asarray(found, np.float32)).clamp(0, 1))


def _second_best(network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """JSMA wants a target: the likeliest class that is not the label, int64 [N]; ART alone would draw one at random."""
    with torch.no_grad():
        logits = torch.cat([network(part) for part in torch.split(x, _BATCH)])
    return logits.scatter(1, labels.unsqueeze(1), float("-inf")).argmax(1)


Method = Callable[
    [nn.Module, NDArray[np.uint8], NDArray[np.int64], AdversarialSettings, torch.Generator], NDArray[np.uint8]
]

ADVERSARIAL: dict[str, Method] = {"fgsm": _fgsm, "pgd": _pgd, "jsma": _jsma}
