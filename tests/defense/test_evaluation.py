"""A split network's evaluation: what it names, and what is read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from defense.evaluation import CLEAN, DECISION, RECONSTRUCTED, EvaluationSettings, check_names, evaluate_split
from defense.inversion.attacks import InversionSettings
from defense.inversion.decoder import DecoderSettings
from defense.psgl.protection import PSGL
from defense.psgl.server import STREAMS
from defense.split.halves import SplitSettings
from defense.split.protection import Protection
from defense.split.training import train_split
from foundation.errors import DataError, UsageError
from victim.dataset import Dataset, Split

pytestmark = pytest.mark.timeout(120)
SETTINGS = EvaluationSettings(
    adversarial=("fgsm",),
    victims=20,
    attacks=InversionSettings(decoder=DecoderSettings(epochs=3, architectures=("linear",))),
)


def stripes(count: int, seed: int, patient: int) -> Split:
    """Noise whose upper (0) or lower half (1) is brighter, at a height of the image's own."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    images = chance.integers(0, 60, (count, 16, 16, 1))
    for row, label in enumerate(labels):
        top = int(chance.integers(0, 4)) + 8 * label
        images[row, top : top + 4] += 180
    return Split(images.astype(np.uint8), labels, np.arange(patient, patient + count, dtype=np.int64))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    parts = [stripes(count, seed, 1000 * seed) for seed, count in enumerate((96, 40, 40, 40))]
    return Dataset("stripes", ("upper", "lower"), *parts)


def trained(dataset: Dataset, protection: Protection) -> object:
    settings = SplitSettings(epochs=8, batch=16)
    return train_split(dataset.train.images, dataset.train.labels, 2, protection, settings)


def test_recognition_and_readings_of_a_plain_network(dataset: Dataset) -> None:
    torch.set_num_threads(1)
    found = evaluate_split(trained(dataset, Protection()), dataset, SETTINGS)
    assert set(found.accuracy) == {CLEAN, "fgsm", RECONSTRUCTED}
    assert found.accuracy[CLEAN][DECISION] > 0.9
    assert set(found.accuracy[CLEAN]) == {DECISION}
    # Nothing protects: a decoder sees more than the mean image, and what it draws can still be recognised.
    assert found.read["decoder"].mean_psnr > found.read["mean"].mean_psnr + 3
    assert found.accuracy[RECONSTRUCTED][DECISION] > 0.8
    assert found.victims.shape == (20, 16, 16, 1)
    assert len(found.smashed) == 20


def test_each_stream_is_asked_where_there_are_several(dataset: Dataset) -> None:
    found = evaluate_split(trained(dataset, PSGL()), dataset, SETTINGS)
    assert set(found.accuracy[CLEAN]) == {DECISION, *STREAMS}


def test_an_unknown_attack_is_told_before_anything_is_tried() -> None:
    with pytest.raises(UsageError, match="unknown attack 'telepathy'"):
        check_names(EvaluationSettings(inversion=("telepathy",)))
    with pytest.raises(UsageError, match="unknown adversarial attack 'dlg'"):
        check_names(EvaluationSettings(adversarial=("dlg",)))


def test_an_attacker_without_images_is_told(dataset: Dataset) -> None:
    nobody = Split(dataset.val.images[:0], dataset.val.labels[:0], dataset.val.patients[:0])
    bare = Dataset("stripes", dataset.class_names, dataset.train, nobody, dataset.test, nobody)
    with pytest.raises(DataError, match="no images for the attacker"):
        evaluate_split(trained(dataset, Protection()), bare, SETTINGS)


def test_an_attacker_of_few_images_has_those_of_the_validation_split_first(dataset: Dataset) -> None:
    nobody = Split(dataset.thief.images[:0], dataset.thief.labels[:0], dataset.thief.patients[:0])
    own = Dataset("stripes", dataset.class_names, dataset.train, dataset.val, dataset.test, nobody)
    model = trained(dataset, Protection())
    settings = replace(SETTINGS, adversarial=(), inversion=("mean",))
    few, all_of_val, all_images = (
        evaluate_split(model, data, replace(settings, auxiliary=count)).read["mean"]
        for data, count in ((dataset, len(dataset.val)), (own, None), (dataset, None))
    )
    assert (few.images == all_of_val.images).all()
    assert (few.images != all_images.images).any()
