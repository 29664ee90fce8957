"""Harmless streams: a clinic's patients in random order, each patient's images one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError


def patient_order(
    patients: NDArray[np.int64], generator: np.random.Generator, length: int | None = None
) -> NDArray[np.int64]:
    """Rows of all images, int64 [N], patient by patient in random order, no image twice; at most `length` of them.

    Args:
        patients: int64 [N], whose image each is.
        generator: the source of chance.
        length: None for all.

    Raises:
        DataError: there is no image.
    """
    if not len(patients):
        raise DataError("no patients to make a harmless stream of")
    numbers = np.unique(patients)
    place = np.empty(len(numbers), np.int64)
    place[generator.permutation(len(numbers))] = np.arange(len(numbers))
    # Stable: a patient's images stay in their order.
    return np.argsort(place[np.searchsorted(numbers, patients)], kind="stable")[:length]


def patient_streams(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
    length: int | None = None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """`count` harmless streams of one split: images uint8 [N, H, W, C] and the victim's answers to them, int64 [N].

    Drawn without replacement: nobody asks about the same picture twice, and a detector that compares queries would take
    a repeated one for an attack.
    """
    for _ in range(count):
        rows = patient_order(patients, generator, length)
        yield images[rows], labels[rows]
