"""What a split network is worth to its clinic, and what an attacker reads of its patients: one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defense.inversion.adversarial import ADVERSARIAL, AdversarialSettings, attacked_images
from defense.inversion.attacks import ATTACKS, InversionSettings, attack_split
from defense.inversion.reconstruction import Reconstruction
from defense.split.config import TOGETHER
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.step import as_images, as_input

CLEAN = "clean"
RECONSTRUCTED = "reconstructed"
DECISION = "decision"
# Learned attacks read every victim with one network; these fit each image on its own, and take a minute for it.
_ONE_BY_ONE = ("dlg", "idlg", "geiping")


@dataclass(frozen=True)
class EvaluationSettings:
    """What is tried on a split network.

    Attributes:
        inversion: names of `defense.inversion.attacks.ATTACKS`.
        adversarial: names of `defense.inversion.adversarial.ADVERSARIAL`.
        victims: test patients' images that attacks are after, at most.
        one_by_one: of them, those whose gradients are inverted.
        auxiliary: images of other patients that the attacker has, at most: of the validation split first, then of the
            thief's half; None: all.
        attacks: settings of the attacks.
        changes: how far adversarial images go.
        seed: of the attacks.
    """

    inversion: tuple[str, ...] = ("mean", "decoder")
    adversarial: tuple[str, ...] = ("fgsm", "pgd")
    victims: int = 256
    one_by_one: int = 4
    auxiliary: int | None = None
    attacks: InversionSettings = field(default_factory=InversionSettings)
    changes: AdversarialSettings = field(default_factory=AdversarialSettings)
    seed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What came of it. Shares are in [0, 1].

    Attributes:
        accuracy: by the images shown (`clean`, an adversarial attack's name, `reconstructed`) and by who answers
            (`decision`, and each stream where the server has several): share of images given their true class.
        read: by attack, what came back.
        victims: uint8 [V, H, W, C], what the attacks were after.
        smashed: float32 [V, C', H', W'], what left the client for them.
    """

    accuracy: Mapping[str, Mapping[str, float]]
    read: Mapping[str, Reconstruction]
    victims: NDArray[np.uint8]
    smashed: NDArray[np.float32]


def check_names(settings: EvaluationSettings) -> None:
    """See to it that every attack is known.

    Raises:
        UsageError: one is not.
    """
    for kind, names, known in (
        ("attack", settings.inversion, ATTACKS),
        ("adversarial attack", settings.adversarial, tuple(ADVERSARIAL)),
    ):
        for name in names:
            if name not in known:
                raise UsageError(f"unknown {kind} {name!r}", hint=f"use {', '.join(known)}")


def evaluate_split(
    model: SplitModel, dataset: Dataset, settings: EvaluationSettings | None = None, progress: Progress = SILENT
) -> Evaluation:
    """Measure recognition on clean, attacked and reconstructed test images, and every attack on the client.

    The attacker owns the validation split's images and the thief's half: of the same kind, of other patients. Images
    count as reconstructed as the learned decoder gave them back; where it is not tried there are none.

    Args:
        model: trained on the data set's training split; left unchanged.
        dataset: its own.
        settings: what to try.
        progress: where to show it.

    Raises:
        UsageError: an unknown attack, or JSMA without ART.
        DataError: no image for the attacker.
    """
    settings = settings or EvaluationSettings()
    test = dataset.test
    model.eval()
    auxiliary, victims = _auxiliary(dataset, settings.auxiliary), _first(test, settings.victims)
    accuracy = {CLEAN: recognised(model, test.images, test.labels)}
    generator = torch.Generator().manual_seed(settings.seed)
    for method in settings.adversarial:
        progress.say(f"{model.protection.name}: attacked by {method}")
        images = attacked_images(model, victims.images, victims.labels, method, settings.changes, generator)
        accuracy[method] = recognised(model, images, victims.labels)
    read = {}
    for which in settings.inversion:
        progress.say(f"{model.protection.name}: read by {which}")
        after = _first(victims, settings.one_by_one) if which.split(":")[0] in _ONE_BY_ONE else victims
        read[which] = attack_split(model, auxiliary, after, which, settings.attacks, settings.seed, progress)
    if "decoder" in read:
        drawn = as_images(torch.from_numpy(read["decoder"].images))
        accuracy[RECONSTRUCTED] = recognised(model, drawn, victims.labels)
    return Evaluation(accuracy, read, victims.images, _smashed(model, victims.images))


def recognised(model: SplitModel, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, float]:
    """Share of uint8 images [N, H, W, C] given their true class int64 [N], by who answers.

    `decision` is the network's answer; a server of several streams (PSGL) is asked for each of them too.
    """
    hits: dict[str, list[Tensor]] = {}
    # A protection may ask for slopes of its own, so not in inference mode.
    with model.evaluating(), torch.no_grad():
        for start in range(0, len(images), TOGETHER):
            rows = slice(start, start + TOGETHER)
            z, y = model.smashed(as_input(images[rows])), torch.from_numpy(labels[rows])
            streams = getattr(model.server, "streams", None)
            answers = {DECISION: model.server(z)} | ({} if streams is None else streams(z))
            for name, logits in answers.items():
                hits.setdefault(name, []).append(logits.argmax(1) == y)
    return {name: float(torch.cat(parts).float().mean()) for name, parts in hits.items()}


def _smashed(model: SplitModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with model.evaluating(), torch.no_grad():
        parts = [model.smashed(x) for x in torch.split(as_input(images), TOGETHER)]
    return np.asarray(torch.cat(parts).float().numpy(), np.float32)


def _auxiliary(dataset: Dataset, count: int | None) -> Split:
    parts = [split for split in (dataset.val, dataset.thief) if len(split)]
    if not parts:
        raise DataError("no images for the attacker: the data set has neither a val nor a thief split")
    images, labels, patients = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels", "patients")
    )
    return _first(Split(images, labels, patients), count)


def _first(split: Split, count: int | None) -> Split:
    return Split(split.images[:count], split.labels[:count], split.patients[:count])
