"""The peers: ART's extraction attacks on our device, with our thief's network and the same pool.

ART draws from numpy's and torch's global sources. They are seeded around a call and put back after it; other threads
that draw from them meanwhile disturb it, so a peer runs alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attack.hashes import image_hashes
from attack.oracle import Oracle, StandsBefore
from foundation.answers import Answers
from foundation.errors import DataError
from victim.models import build

# ART's defaults are 1, with which it takes an hour where it could take a minute.
BATCH = 64
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class PeerTheft:
    """What a peer stole.

    Attributes:
        network: the thief's, trained, in evaluation mode.
        queries: images that the device was asked about, counted at the device; repeated ones too.
        distinct: how many of them were different.
        seconds_query: wall clock of the device's answers.
        seconds: wall clock of the whole attack; conversion of the pool to floats and building the network not counted.
    """

    network: nn.Module
    queries: int
    distinct: int
    seconds_query: float
    seconds: float

    @property
    def seconds_fit(self) -> float:
        """All but the device's answers: training, and what ART does besides."""
        return self.seconds - self.seconds_query


def art_copycat(
    oracle: Oracle,
    images: NDArray[np.uint8],
    budget: int,
    architecture: str,
    epochs: int,
    seed: int,
    *,
    batch: int = BATCH,
) -> PeerTheft:
    """ART's `CopycatCNN` (Correia-Silva et al. 2018): images of the pool at random, each asked once, plain training.

    Args:
        oracle: the victim; ART is given its top-1 class only, whatever the policy.
        images: the pool, uint8 [N, H, W, C].
        budget: queries, at most N.
        architecture: of the thief; see `victim.models.build`.
        epochs: of training, Adam at 1e-3.
        seed: of choice, initial weights and order.
        batch: images in a step of training, and in a query; ART's default is 1.

    Raises:
        DataError: the pool is smaller than the budget.
        UsageError: ART is not installed.
    """
    _pays(images, budget)

    def attack(victim: object) -> Any:
        from art.attacks.extraction import CopycatCNN

        return CopycatCNN(victim, batch_size_fit=batch, batch_size_query=batch, nb_epochs=epochs, nb_stolen=budget)

    return _steal(oracle, images, None, attack, architecture, seed)


def art_knockoff(
    oracle: Oracle,
    images: NDArray[np.uint8],
    budget: int,
    architecture: str,
    epochs: int,
    seed: int,
    *,
    sampling: Literal["random", "adaptive"] = "random",
    labels: NDArray[np.int64] | None = None,
    reward: Literal["cert", "div", "loss", "all"] = "loss",
) -> PeerTheft:
    """ART's `KnockoffNets` (Orekondy et al. 2019), with hard labels.

    With hard labels `random` is `CopycatCNN` over again, to the last weight.

    Adaptive is a bandit whose arms are classes of the pool; it draws with replacement, and asks, fits and predicts one
    image at a time. ART's default reward `all` divides by the variance of `cert`, which is 0 where a victim answers
    labels only: the attack ends in NaN. `cert` alone is then the same for every arm.

    Args:
        oracle: the victim; ART is given its top-1 class only, whatever the policy.
        images: the pool, uint8 [N, H, W, C].
        budget: queries; at most N for `random`.
        architecture: of the thief; see `victim.models.build`.
        epochs: of training, Adam at 1e-3 on batches of 64.
        seed: of choice, initial weights and order.
        sampling: `random` or `adaptive`.
        labels: int64 [N], classes of the pool's images, for `adaptive`. The true ones are the most that an attacker can
            have, and more than ours is given.
        reward: of `adaptive`.

    Raises:
        DataError: the pool is smaller than the budget, or `adaptive` lacks labels.
        UsageError: ART is not installed.
    """
    arms = None
    if sampling == "random":
        _pays(images, budget)
    elif labels is None or len(labels) != len(images):
        raise DataError("KnockoffNets adaptive wants a class for every image of the pool: they are its arms")
    else:
        # ART takes arms for 0, 1, 2 ...; a class that the pool lacks would leave an arm without images.
        arms = np.unique(labels, return_inverse=True)[1]

    def attack(victim: object) -> Any:
        from art.attacks.extraction import KnockoffNets

        class LeanKnockoffNets(KnockoffNets):  # type: ignore[misc]
            """ART 1.20 keeps each drawn image as a view into a copy of its whole class: 16 MB to 64 MB a query."""

            @staticmethod
            def _sample_data(x: NDArray[Any], y: NDArray[Any], action: int) -> NDArray[Any]:
                drawn: NDArray[Any] = KnockoffNets._sample_data(x, y, action)
                return drawn.copy()

        return LeanKnockoffNets(
            victim,
            batch_size_fit=BATCH,
            batch_size_query=BATCH,
            nb_epochs=epochs,
            nb_stolen=budget,
            sampling_strategy=sampling,
            reward=reward,
            verbose=False,
        )

    return _steal(oracle, images, arms, attack, architecture, seed)


def _pays(images: NDArray[np.uint8], budget: int) -> None:
    """ART would warn and ask for fewer."""
    if len(images) < budget:
        raise DataError(f"the pool holds {len(images)} images, the budget is {budget}")


def _steal(
    oracle: Oracle,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    attack: Callable[[object], Any],
    architecture: str,
    seed: int,
) -> PeerTheft:
    from attack.art.classifier import DeviceClassifier

    counted = _CountedOracle(oracle)
    thief = _thief(oracle, build(architecture, images.shape[3], oracle.classes, torch.Generator().manual_seed(seed)))
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    with _seeded(seed):
        start = time.perf_counter()
        stolen = attack(DeviceClassifier(counted)).extract(x, labels, thieved_classifier=thief)
        seconds = time.perf_counter() - start
    return PeerTheft(stolen.model.eval(), counted.queries, len(counted.distinct), counted.seconds, seconds)


def _thief(oracle: Oracle, network: nn.Module) -> Any:
    from art.estimators.classification import PyTorchClassifier

    height, width, channels = oracle.image_shape
    return PyTorchClassifier(
        network,
        nn.CrossEntropyLoss(),
        (channels, height, width),
        oracle.classes,
        optimizer=torch.optim.Adam(network.parameters(), LEARNING_RATE),
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


class _CountedOracle(StandsBefore):
    """Counts and times what a peer asks; ART's own `nb_stolen` is what it was told, not what it did."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self.distinct: set[bytes] = set()
        self.queries, self.seconds = 0, 0.0

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`."""
        start = time.perf_counter()
        answers = self.oracle.query(images)
        self.seconds += time.perf_counter() - start
        self.queries += len(images)
        self.distinct.update(image_hashes(images))
        return answers


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
