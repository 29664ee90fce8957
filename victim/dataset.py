"""The one data-set record that every loader makes and every stage reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import sha256_arrays


@dataclass(frozen=True)
class Split:
    """Some images with what is known of them.

    Attributes:
        images: uint8 [N, height, width, channels], as an app has them.
        labels: int64 [N], index into the data set's class names.
        patients: int64 [N]; images with one number are of one patient and never stand in two splits. Where a source
            tells no patient, every image counts as one.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DataError(f"images must be uint8 N x H x W x C, not {self.images.dtype} {self.images.shape}")
        if not len(self.images) == len(self.labels) == len(self.patients):
            raise DataError(
                f"{len(self.images)} images, {len(self.labels)} labels, {len(self.patients)} patients: not one each"
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> Split:
        """The split's rows, in the order given."""
        return Split(self.images[rows], self.labels[rows], self.patients[rows])


@dataclass(frozen=True)
class Dataset:
    """A labelled data set, split by patient.

    Attributes:
        name: short, for tables.
        class_names: one for each label.
        train: trains the victim.
        val: stops its training.
        test: measures victim and thief; never trained on, never calibrated on, never queried.
        thief: problem-domain images that the thief may hold (`pd:N`); the victim never saw them.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    thief: Split

    @property
    def splits(self) -> dict[str, Split]:
        """All four, by name."""
        return {"train": self.train, "val": self.val, "test": self.test, "thief": self.thief}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @cached_property
    def sha256(self) -> str:
        """Identifies the content: images, labels and split."""
        return sha256_arrays(*(a for s in self.splits.values() for a in (s.images, s.labels)))

    def checked(self) -> Dataset:
        """This data set, or a clear error.

        Raises:
            DataError: a split that training or testing needs is empty, a label has no class, there is only one class,
                splits differ in image shape or share a patient.
        """
        for name, split in self.splits.items():
            if not len(split):
                if name == "thief":
                    continue
                raise DataError(f"data set {self.name}: no images for {name}")
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(f"data set {self.name}: {name} images differ in shape from the training images")
            if split.labels.min() < 0 or split.labels.max() >= len(self.class_names):
                raise DataError(f"data set {self.name}: a label in {name} has no class name")
        if len(np.unique(self.train.labels)) < 2:
            raise DataError(
                f"data set {self.name} has images of one class only", hint="a classifier needs at least two classes"
            )
        seen: set[int] = set()
        for name, split in self.splits.items():
            patients = set(split.patients.tolist())
            if patients & seen:
                raise DataError(f"data set {self.name}: a patient of {name} stands in another split too")
            seen |= patients
        return self


def split_by_patient(
    images: Split, fractions: tuple[float, float, float, float], generator: np.random.Generator
) -> tuple[Split, Split, Split, Split]:
    """Deal whole patients to train, val, test and thief, class by class.

    A patient counts for the class of their first image, so that every split sees every class.

    Args:
        images: everything there is.
        fractions: of the patients of each class, for train, val, test, thief; they sum to 1.
        generator: the source of chance.
    """
    patients, first = np.unique(images.patients, return_index=True)
    kinds = images.labels[first]
    part = np.zeros(len(patients), np.int64)
    edges = np.cumsum(fractions)[:-1]
    for kind in np.unique(kinds):
        members = generator.permutation(np.flatnonzero(kinds == kind))
        # Mid-points, so that a class of few patients is spread and not all given to the first split.
        part[members] = np.searchsorted(edges, (np.arange(len(members)) + 0.5) / len(members), side="right")
    of_image = part[np.searchsorted(patients, images.patients)]
    train, val, test, thief = (images.take(np.flatnonzero(of_image == k)) for k in range(4))
    return train, val, test, thief


def hold_out(dataset: Dataset, fraction: float, generator: np.random.Generator) -> Dataset:
    """Give `fraction` of the training patients of each class to the thief (for sources that have no such split)."""
    train, _, _, thief = split_by_patient(dataset.train, (1 - fraction, 0.0, 0.0, fraction), generator)
    return replace(dataset, train=train, thief=thief)
