"""Our thief as an attack of ART: it steals from a device and from ART's own classifiers into ART's own thief."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from victims_in_process import KnownVictim, brighter_half, half_images, numbered_images

from foundation.errors import DataError, DeviceError, UsageError
from victim.step import TrainingSettings

pytest.importorskip("art.estimators", reason="wants ART: pip install 'edgecat[art]'")

from art.attacks.attack import ExtractionAttack
from art.estimators.classification import BlackBoxClassifier, PyTorchClassifier

from attack.art.classifier import DeviceClassifier
from attack.art.extraction import EdgecatExtraction
from attack.strategies import STRATEGIES
from attack.strategies.random import RandomStrategy

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

HELD_OUT = half_images(300, seed=8)


def as_floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255


POOL = as_floats(half_images(30, seed=1))


def network(seed: int = 0, hidden: int = 8) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, hidden, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(hidden * 16, 2)
        )


def thief(**changes: Any) -> PyTorchClassifier:
    given = network()
    settings: dict[str, Any] = {
        "model": given,
        "loss": nn.CrossEntropyLoss(),
        "input_shape": (1, 16, 16),
        "nb_classes": 2,
        "optimizer": torch.optim.Adam(given.parameters()),
        "clip_values": (0.0, 1.0),
        "device_type": "cpu",
    }
    return PyTorchClassifier(**(settings | changes))


def agreement(stolen: PyTorchClassifier) -> float:
    return float((stolen.predict(as_floats(HELD_OUT)).argmax(1) == brighter_half(HELD_OUT).argmax(1)).mean())


def weights(classifier: PyTorchClassifier) -> NDArray[np.float32]:
    return torch.cat([p.flatten() for p in classifier.model.parameters()]).detach().numpy().copy()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight epochs, where it matters that two runs are alike and not how good they are."""
    monkeypatch.setattr("attack.copycat.settings_for", lambda *_, **__: TrainingSettings(epochs=1, batch=32))


class OwnNetwork(RandomStrategy):
    """Brings a copycat of its own, as data-free attacks do."""

    own = network(seed=7)

    def copycat(self) -> nn.Module:
        return self.own


def test_thirty_images_and_a_device_make_a_copycat_of_art() -> None:
    victim, given = KnownVictim(brighter_half), thief()
    attack = EdgecatExtraction(DeviceClassifier(victim), nb_stolen=600)
    stolen = attack.extract(POOL, thieved_classifier=given)
    assert isinstance(attack, ExtractionAttack)
    assert stolen is given
    assert victim.count == 600
    assert agreement(stolen) > 0.95
    assert not stolen.model.training
    assert attack.theft is not None
    assert attack.theft.queries == 600


def test_a_classifier_of_art_in_memory_is_a_victim_too() -> None:
    asked: list[NDArray[np.float32]] = []

    def predict(x: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(x)
        return brighter_half(x.transpose(0, 2, 3, 1))

    class InMemory(BlackBoxClassifier):  # type: ignore[misc]
        channels_first = True

    victim = InMemory(predict, (1, 16, 16), 2, clip_values=(0.0, 255.0))
    images = half_images(30, seed=1)
    attack = EdgecatExtraction(victim, nb_stolen=600)
    stolen = attack.extract(images.transpose(0, 3, 1, 2).astype(np.float32), thieved_classifier=thief())
    assert agreement(stolen) > 0.95
    questions = np.concatenate(asked)
    assert len(questions) == 600
    np.testing.assert_array_equal(questions, questions.round())
    assert questions.max() > 200


@pytest.mark.usefixtures("brief")
def test_the_same_seed_steals_the_same_and_leaves_global_chance_alone() -> None:
    def steal(seed: int) -> NDArray[np.float32]:
        attack = EdgecatExtraction(DeviceClassifier(KnownVictim(brighter_half)), nb_stolen=60, seed=seed)
        return weights(attack.extract(POOL, thieved_classifier=thief()))

    np.random.seed(5)
    first, again, other = steal(1), steal(1), steal(2)
    drawn = np.random.random()
    np.random.seed(5)
    assert np.random.random() == drawn
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.usefixtures("brief")
def test_a_killed_attack_goes_on_from_its_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attack.extraction.MOST_AT_ONCE", 512)
    whole, broken, again = (KnownVictim(brighter_half, fails_at=fails) for fails in (None, 2, None))

    def steal(victim: KnownVictim, name: str) -> NDArray[np.float32]:
        attack = EdgecatExtraction(DeviceClassifier(victim), nb_stolen=700, ledger=tmp_path / name)
        return weights(attack.extract(POOL, thieved_classifier=thief()))

    undisturbed = steal(whole, "whole.sqlite")
    with pytest.raises(DeviceError):
        steal(broken, "ledger.sqlite")
    np.testing.assert_array_equal(steal(again, "ledger.sqlite"), undisturbed)
    assert broken.count > 0
    assert broken.count + again.count == whole.count == 700


def test_the_pool_is_the_budget_where_nothing_is_amplified() -> None:
    victim = KnownVictim(brighter_half)
    with pytest.raises(DataError, match="30"):
        EdgecatExtraction(DeviceClassifier(victim), nb_stolen=31, strategy="random").extract(
            POOL, thieved_classifier=thief()
        )
    assert victim.calls == 0


def test_a_strategy_that_trains_its_own_copycat_hands_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "own", OwnNetwork)
    attack = EdgecatExtraction(DeviceClassifier(KnownVictim(brighter_half)), nb_stolen=10, strategy="own")
    stolen = attack.extract(POOL, thieved_classifier=thief())
    np.testing.assert_array_equal(weights(stolen), weights(thief(model=OwnNetwork.own)))
    with pytest.raises(UsageError, match="a network of its own"):
        attack.extract(POOL, thieved_classifier=thief(model=network(hidden=4)))


def test_settings_are_checked_when_made_and_when_changed() -> None:
    victim = DeviceClassifier(KnownVictim(brighter_half))
    attack = EdgecatExtraction(victim, nb_stolen=10)
    with pytest.raises(UsageError, match="budget of 0"):
        attack.set_params(nb_stolen=0)
    with pytest.raises(UsageError, match="unknown strategy"):
        EdgecatExtraction(victim, nb_stolen=10, strategy="telepathy")
    with pytest.raises(UsageError, match="ledger"):
        EdgecatExtraction(thief(), nb_stolen=10, ledger=Path("ledger.sqlite"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: None, "NoneType"),
        (lambda: DeviceClassifier(KnownVictim(brighter_half)), "torch"),
        (lambda: thief(nb_classes=3), "3 classes"),
        (lambda: thief(input_shape=(3, 16, 16)), r"\(3, 16, 16\)"),
        (lambda: thief(clip_values=(0, 255)), "pixels in"),
        (lambda: thief(preprocessing=(0.5, 0.25)), "pixels in"),
    ],
)
def test_a_thief_that_cannot_be_trained_is_refused_before_a_query(given: Any, words: str) -> None:
    victim = KnownVictim(brighter_half)
    with pytest.raises(UsageError, match=words):
        EdgecatExtraction(DeviceClassifier(victim), nb_stolen=10).extract(POOL, thieved_classifier=given())
    assert victim.calls == 0


def test_a_victim_of_no_images_is_refused() -> None:
    victim = BlackBoxClassifier(lambda x: x, (7,), 2)
    with pytest.raises(UsageError, match="no image"):
        EdgecatExtraction(victim, nb_stolen=5).extract(numbered_images(5), thieved_classifier=thief())
