"""Known images: what a model must answer to be well."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.deployed import DeployedModel
from edgecat.fleets.fleet_file import CheckSettings
from foundation.errors import CheckFailed, DataError
from foundation.manifest import Artifact

# Enough for every class to be there, few enough for a slow phone.
_PROCEDURAL = 64
_SEED = 0


@dataclass(frozen=True)
class KnownImages:
    """Images and their expected classes.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        min_agreement: share that must be answered as expected.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    min_agreement: float

    def agreement(self, model: DeployedModel) -> float:
        """Share of the images that a deployed model answers as expected.

        Raises:
            DeviceError: the device does not answer.
        """
        return float((model.query(self.images).top1() == self.labels).mean())

    def judge(self, agreement: float) -> None:
        """See to it that enough were answered as expected.

        Raises:
            CheckFailed: they were not.
        """
        if agreement < self.min_agreement:
            wrong = round((1 - agreement) * len(self.labels))
            raise CheckFailed(
                f"{wrong} of {len(self.labels)} known images are answered otherwise than expected",
                hint="do the labels belong to this model, and does the device's runtime take the file?",
            )


def known_images(settings: CheckSettings, artifact: Artifact) -> KnownImages:
    """The images of a fleet's file, or procedural ones with the answers of the file in its runtime here.

    Raises:
        DataError: the file's images cannot be used, or do not fit the model.
        ArtifactError: the runtime here refuses the model.
    """
    if settings.images is not None:
        images, labels = _read(settings.images, artifact)
    else:
        from attack.npd import generate

        images = generate(0, _PROCEDURAL, _SEED, artifact.manifest.image.shape)
        labels = _answers_here(artifact, images)
    return KnownImages(images, labels, settings.min_agreement)


def _answers_here(artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    from edgecat.quiet import log_output
    from export.parity import runtime_logits

    with log_output(Path(os.devnull)):
        labels: NDArray[np.int64] = runtime_logits(artifact, images).argmax(1).astype(np.int64)
    return labels


def _read(path: Path, artifact: Artifact) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"].reshape(-1)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"no known images in {path}: {error}", hint="an .npz with images and labels") from error
    shape, classes = artifact.manifest.image.shape, len(artifact.manifest.class_names)
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        raise DataError(f"{path}: images {images.dtype} {images.shape}, the model takes uint8 (N, {shape})")
    if len(labels) != len(images) or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{path}: labels must be {len(images)} whole numbers from 0 to {classes - 1}")
    return images, labels.astype(np.int64)
