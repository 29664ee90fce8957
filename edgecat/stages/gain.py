"""What a thief gains beyond labels, as a record; see `attack.gains`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attack.gains import calibration, saliency, transfer
from benchmarks.records import Calibration, Gain, Saliency, Transfer
from edgecat.stages.theft import Stolen, Target
from victim.models import build
from victim.training import predict

# Bounds of the adversarial change, in 1/255 of a pixel's range.
EPSILONS = (2, 4, 8)
# Test images that are attacked and whose maps are compared; more would only narrow an interval.
IMAGES = 200


def measure_gain(stolen: Stolen) -> Gain:
    """Measure the copycat's adversarial examples on the device, its saliency maps and its calibration.

    The queries are the evaluator's: they stand in no ledger.

    Raises:
        DeviceError: the device failed.
    """
    target, seed = stolen.target, stolen.thief.seed
    test = target.dataset.test
    rows = np.unique(np.linspace(0, len(test) - 1, min(len(test), IMAGES)).round().astype(np.int64))
    network, images, clean = stolen.copycat.network, test.images[rows], target.answers[rows]
    return Gain(
        **stolen.of_thief().model_dump(),
        transfer=[_transfer(target, network, images, clean, epsilon, seed) for epsilon in EPSILONS],
        saliency=None if target.network is None else _saliency(target.network, stolen, images),
        calibration=None if target.network is None else _calibration(target.network, network, target),
    )


def _transfer(
    target: Target,
    network: nn.Module,
    images: NDArray[np.uint8],
    clean: NDArray[np.int64],
    epsilon: int,
    seed: int,
) -> Transfer:
    generator = torch.Generator().manual_seed(seed)
    found = transfer.measure_transfer(
        network, target.oracle, images, transfer.PgdSettings(epsilon=epsilon), generator, clean=clean
    )
    return Transfer(
        epsilon=epsilon,
        copycat_fooled=float(found.copycat_fooled.mean()),
        victim_fooled=found.rate,
        random_noise=found.noise_rate,
        queries=found.queries,
    )


def _saliency(victim: nn.Module, stolen: Stolen, images: NDArray[np.uint8]) -> Saliency:
    thief, dataset = stolen.thief, stolen.target.dataset
    generator = torch.Generator().manual_seed(thief.seed)
    untrained = build(thief.architecture, dataset.image_shape[2], len(dataset.class_names), generator)
    found = saliency.measure_saliency(stolen.copycat.network, victim, images, untrained.eval())
    controls = found.untrained, found.shuffled
    return Saliency(
        images=len(images),
        rank_correlation=float(found.copycat.correlation.mean()),
        rank_correlation_control=max(float(maps.correlation.mean()) for maps in controls),
        top_overlap=float(found.copycat.overlap.mean()),
        top_overlap_control=max(float(maps.overlap.mean()) for maps in controls),
    )


def _calibration(victim: nn.Module, copycat: nn.Module, target: Target) -> Calibration:
    """Against the float victim's probabilities: an answer policy may keep the device's to itself."""
    test = target.dataset.test
    own, theirs = (_probabilities(network, test.images) for network in (copycat, victim))
    found = calibration.measure_calibration(own, theirs, test.labels)
    return Calibration(
        ece_thief=found.copycat.ece,
        ece_victim=found.victim.ece,
        brier_thief=found.copycat.brier,
        brier_victim=found.victim.brier,
        confidence_difference=float(found.copycat.confidence.mean() - found.victim.confidence.mean()),
    )


def _probabilities(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(torch.from_numpy(predict(network, images)).softmax(1).numpy(), np.float32)
