"""What the loaders share: reading many files of which some may be bad, and completing a data set's splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, UsageError
from foundation.progress import Progress
from victim.dataset import Dataset, Split, hold_out, split_by_patient

# Of the patients of each class: train (later shared with the thief), val, test.
FRESH_SPLIT = (0.7, 0.1, 0.2, 0.0)
# Of the training patients, where a source has no val split.
VAL_OF_TRAIN = 0.1

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    file: Path
    reason: str


def read_each(
    files: Sequence[Path], read: Callable[[Path], _Read], *, skip_bad: bool, progress: Progress
) -> tuple[list[_Read | None], list[Skipped]]:
    """Read every file.

    Args:
        files: what to read.
        read: reads one file; raises DataError, naming the file, if it is bad.
        skip_bad: put None in a bad file's place and tell of it, instead of stopping there.
        progress: where to show the bar and the skipped files.

    Returns:
        what was read, in the order of `files`, and the skipped files.

    Raises:
        DataError: a file is bad and `skip_bad` is not set.
    """
    found: list[_Read | None] = []
    skipped: list[Skipped] = []
    with progress.task("reading images", len(files)) as advance:
        for file in files:
            try:
                found.append(read(file))
            except DataError as error:
                if not skip_bad:
                    hint = error.hint or "mend or remove the file, or skip such files with --skip-bad"
                    raise DataError(error.message, hint=hint) from error
                found.append(None)
                skipped.append(Skipped(file, error.message))
                progress.say(f"skipped {error.message}")
            advance()
    if skipped:
        progress.say(f"skipped {len(skipped)} of {len(files)} files")
    return found, skipped


def check_thief_fraction(fraction: float) -> None:
    """Refuse a share of the training patients that leaves none to train on.

    Raises:
        UsageError: not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"the thief cannot hold {fraction} of the training patients", hint="use 0 ≤ fraction < 1")


def undivided(name: str, class_names: tuple[str, ...], everything: Split, seed: int, thief_fraction: float) -> Dataset:
    """Split what a source gives in one piece: 70 % of the patients of each class train, 10 % val, 20 % test.

    `thief_fraction` of the training patients then go to the thief: with the default of one half, victim and thief hold
    equally many (35 % each), so that neither is favoured.

    Raises:
        DataError: too few patients, or one class only.
    """
    splits = split_by_patient(everything, FRESH_SPLIT, np.random.default_rng([seed, 0]))
    return completed(Dataset(name, class_names, *splits), seed, thief_fraction)


def completed(dataset: Dataset, seed: int, thief_fraction: float) -> Dataset:
    """Fill the splits that a source does not have: val is split off train, then the thief's images are held out.

    Args:
        dataset: its val and thief may be empty.
        seed: the source of chance.
        thief_fraction: of the training patients of each class, in [0, 1); unused where the source has a thief split.

    Raises:
        DataError: see `Dataset.checked`; or a class has no image in train or test.
    """
    check_thief_fraction(thief_fraction)
    if not len(dataset.val):
        fractions = (1 - VAL_OF_TRAIN, VAL_OF_TRAIN, 0.0, 0.0)
        train, val, _, _ = split_by_patient(dataset.train, fractions, np.random.default_rng([seed, 1]))
        dataset = replace(dataset, train=train, val=val)
    if not len(dataset.thief) and thief_fraction:
        dataset = hold_out(dataset, thief_fraction, np.random.default_rng([seed, 2]))
    dataset = dataset.checked()
    for name in ("train", "test"):
        present = np.bincount(dataset.splits[name].labels, minlength=len(dataset.class_names)) > 0
        if not present.all():
            absent = dataset.class_names[int(present.argmin())]
            raise DataError(
                f"data set {dataset.name}: no image of class {absent!r} for {name}",
                hint="a class needs at least five patients (or images, where no patient is known) to be split",
            )
    return dataset


def empty_like(split: Split) -> Split:
    """A split of no images, shaped like `split`."""
    return split.take(np.zeros(0, np.int64))


def numbered(keys: Sequence[str]) -> NDArray[np.int64]:
    """Equal keys get equal numbers, in the order of first appearance: int64 [N]."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def need_every_class(source: Path, class_names: tuple[str, ...], labels: NDArray[np.int64]) -> None:
    """Refuse a source of which every file of some class was left out.

    Raises:
        DataError: naming the class.
    """
    for label, name in enumerate(class_names):
        if not (labels == label).any():
            raise DataError(f"{source}: class {name!r} has no readable image", hint="mend the files named as skipped")
