"""Our thief as one of ART's extraction attacks: any of ART's classifiers is its victim, a device among them."""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from art.attacks.attack import ExtractionAttack
from art.estimators.classification import PyTorchClassifier
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator
from numpy.typing import NDArray
from torch import nn

from attack.art.classifier import DeviceClassifier, as_pixels
from attack.art.victim import ClassifierOracle, range_of
from attack.copycat import Copycat, CopycatTrainer, Lesson, train_copycat
from attack.extraction import Theft, ThiefSettings, extract
from attack.ledger import Ledger
from attack.oracle import Oracle
from attack.pools import Pool
from attack.strategies import check_strategy, find_strategy
from foundation.errors import UsageError


class EdgecatExtraction(ExtractionAttack):  # type: ignore[misc]
    """Steals with our strategies and our training, where ART's `CopycatCNN` and `KnockoffNets` steal with theirs.

    Attributes:
        theft: what the last `extract` took: queries, answers of each class, seconds; None before.
    """

    attack_params: ClassVar[list[str]] = [
        *ExtractionAttack.attack_params,
        "nb_stolen",
        "strategy",
        "architecture",
        "seed",
        "ledger",
    ]
    _estimator_requirements = (BaseEstimator, ClassifierMixin)

    def __init__(
        self,
        classifier: Any,
        nb_stolen: int,
        *,
        strategy: str = "amplify",
        architecture: str = "stacked",
        seed: int = 0,
        ledger: Path | None = None,
    ) -> None:
        """Prepare the attack.

        Args:
            classifier: the victim: `attack.art.classifier.DeviceClassifier`, or any other classifier of ART, of which
                no more than the top-1 class is used.
            nb_stolen: the budget: distinct images asked about.
            strategy: see `attack.strategies.find_strategy`. `amplify` grows a few images into any number of queries.
            architecture: of the networks that a strategy trains to choose by; the thief's own is given to `extract`.
            seed: of choice, order and augmentation. ART's global sources are not drawn from.
            ledger: file that keeps the answers of a device; started again, the attack pays for none of them twice. None
                keeps nothing.

        Raises:
            UsageError: unknown strategy, no budget, or a ledger for what is no device.
        """
        super().__init__(estimator=classifier)
        self.nb_stolen, self.strategy, self.architecture = nb_stolen, strategy, architecture
        self.seed, self.ledger = seed, ledger
        self.theft: Theft | None = None
        self._check_params()

    def extract(self, x: NDArray[np.generic], y: NDArray[np.generic] | None = None, **kwargs: Any) -> PyTorchClassifier:
        """Steal.

        Args:
            x: the pool, as the victim takes it (see `attack.art.classifier.as_pixels`); uint8 are pixels already.
            y: not used: the thief has no labels.
            kwargs: `thieved_classifier`, a `PyTorchClassifier` on the processor, for pixels in [0, 1] and without
                preprocessing. Its network learns on from the weights it has; its own loss and optimiser are not used.

        Returns:
            `thieved_classifier`, trained, in evaluation mode.

        Raises:
            UsageError: a thief that our trainer cannot train, or a strategy that cannot use the pool.
            DataError: inputs of another shape, or a pool smaller than the budget.
            DeviceError: nothing was answered.
        """
        del y
        oracle = self._oracle()
        thief = _checked(kwargs.get("thieved_classifier"), oracle)
        images = as_pixels(
            x,
            oracle.image_shape,
            channels_first=self.estimator.channels_first,
            clip_values=range_of(self.estimator),
        )
        pool = Pool("art", len(images), lambda rows: images[rows], lambda _: "art")
        strategy = find_strategy(self.strategy, (pool,), self.nb_stolen, self.seed, self.architecture)
        digest = hashlib.sha256(images.data).hexdigest()
        settings = ThiefSettings("art", self.strategy, self.architecture, (self.nb_stolen,), self.seed, digest)
        with (
            tempfile.TemporaryDirectory() as directory,
            Ledger(self.ledger or Path(directory, "ledger.sqlite")) as ledger,
            _GivenNetworkTrainer(thief.model) as trainer,
        ):
            (self.theft,) = extract(oracle, strategy, ledger, settings, trainer)
            stolen = self.theft.copycat.result().network
        if stolen is not thief.model:
            # A strategy that trains while it asks has a copycat already.
            _hand_over(stolen, thief.model, self.strategy)
        return thief

    def _oracle(self) -> Oracle:
        if isinstance(self.estimator, DeviceClassifier):
            return self.estimator.oracle
        return ClassifierOracle(self.estimator)

    def _check_params(self) -> None:
        check_strategy(self.strategy)
        if self.nb_stolen < 1:
            raise UsageError(f"a query budget of {self.nb_stolen} buys nothing", hint="give nb_stolen of 1 or more")
        if self.ledger is not None and not isinstance(self.estimator, DeviceClassifier):
            raise UsageError(
                "a ledger keeps answers by the SHA-256 of the model, which a classifier in memory has not",
                hint="leave ledger out, or attack a DeviceClassifier",
            )


class _GivenNetworkTrainer(CopycatTrainer):
    """Trains the network that ART handed over, in place, whatever architecture is asked for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(1)
        self._network = network

    def submit(self, lesson: Lesson, architecture: str, seed: int, learner: str = "supervised") -> Future[Copycat]:
        """See `CopycatTrainer.submit`."""
        return self._pool.submit(train_copycat, lesson, architecture, seed, learner=learner, network=self._network)


def _checked(thief: Any, oracle: Oracle) -> PyTorchClassifier:
    """A thief that our trainer can train and that predicts on what it was trained on."""
    if not isinstance(thief, PyTorchClassifier):
        raise UsageError(
            f"thieved_classifier is a {type(thief).__name__}; our trainer trains torch networks",
            hint="extract(x, thieved_classifier=PyTorchClassifier(...))",
        )
    height, width, channels = oracle.image_shape
    if tuple(thief.input_shape) != (channels, height, width) or thief.nb_classes != oracle.classes:
        raise UsageError(
            f"thieved_classifier takes {tuple(thief.input_shape)} and knows {thief.nb_classes} classes, "
            f"the victim {(channels, height, width)} and {oracle.classes}"
        )
    # ART's own stand-in for "as they are" is a standardisation by 0 and 1.
    prepared = any(
        (getattr(step, "mean", None), getattr(step, "std", None)) != (0, 1) for step in thief.preprocessing_operations
    )
    if prepared or range_of(thief) != (0.0, 1.0) or thief.device.type != "cpu":
        raise UsageError(
            "thieved_classifier must take pixels in [0, 1] as they are, on the processor: so it is trained",
            hint='PyTorchClassifier(..., clip_values=(0, 1), preprocessing=None, device_type="cpu")',
        )
    return thief


def _hand_over(stolen: nn.Module, network: nn.Module, strategy: str) -> None:
    try:
        network.load_state_dict(stolen.state_dict())
    except RuntimeError as error:
        raise UsageError(
            f"strategy {strategy} trains a network of its own, which is not that of thieved_classifier",
            hint="give EdgecatExtraction the architecture of thieved_classifier",
        ) from error
    network.eval()
