"""Images attacked through a whole split network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blobs_and_halves import blobs, plain
from numpy.typing import NDArray

from defense.inversion.adversarial import AdversarialSettings, attacked_images
from defense.split.halves import SplitSettings
from defense.split.model import SplitModel
from defense.split.protection import Protection
from defense.split.training import train_split
from foundation.errors import DataError, UsageError
from victim.step import as_input

TEST = blobs(16, 1)
SETTINGS = AdversarialSettings(epsilon=32, steps=5, theta=0.5, gamma=0.2)


@pytest.fixture(scope="module")
def model() -> SplitModel:
    """A network that knows left from right."""
    train = blobs(96, 0)
    settings = SplitSettings(epochs=16, batch=16, augmented=False)
    return train_split(train.images, train.labels, 2, Protection(), settings, 0)


def _right(model: SplitModel, images: NDArray[np.uint8]) -> float:
    with torch.no_grad():
        return float((model.logits(as_input(images)).argmax(1).numpy() == TEST.labels).mean())


def _attacked(model: SplitModel, method: str, settings: AdversarialSettings = SETTINGS) -> NDArray[np.uint8]:
    return attacked_images(model, TEST.images, TEST.labels, method, settings, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_attacked_images_mislead_within_epsilon(model: SplitModel, method: str) -> None:
    images = _attacked(model, method)
    assert np.abs(images.astype(int) - TEST.images.astype(int)).max() <= SETTINGS.epsilon
    assert _right(model, TEST.images) > 0.9
    assert _right(model, images) < _right(model, TEST.images) - 0.2


def test_jsma_misleads_by_few_pixels(model: SplitModel) -> None:
    pytest.importorskip("art", reason="the extra `art`")
    images = _attacked(model, "jsma")
    changed = (images != TEST.images).reshape(len(images), -1).mean(1)
    # The share counts pixels that ART moves in pairs.
    assert changed.max() <= SETTINGS.gamma + 2 / 256
    assert _right(model, images) < _right(model, TEST.images) - 0.2


def test_no_images_are_no_work_and_what_does_not_fit_is_refused(model: SplitModel) -> None:
    empty = attacked_images(model, TEST.images[:0], TEST.labels[:0], "fgsm", SETTINGS, torch.Generator())
    assert empty.shape == (0, 16, 16, 1)
    with pytest.raises(UsageError, match="unknown adversarial attack"):
        _attacked(model, "cw")
    with pytest.raises(DataError, match="2 labels"):
        attacked_images(model, TEST.images, TEST.labels[:2], "fgsm", SETTINGS, torch.Generator())
    with pytest.raises(UsageError, match="JSMA"):
        AdversarialSettings(theta=0)


def test_an_untrained_network_is_attacked_too() -> None:
    assert _attacked(plain(), "fgsm").shape == TEST.images.shape
