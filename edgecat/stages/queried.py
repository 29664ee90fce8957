"""A few of the images that thieves asked about, by what the victim answered: for people to look at.

`DIRECTORY/queried/POOL_STRATEGY_SEED.npz` holds `images` (uint8 [N, H, W, C]), `answers` (int64 [N], classes), and the
pool, strategy and seed as they are; the file's name has them in letters that every file system takes.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import QueriedImages
from foundation.errors import DataError
from foundation.files import file_name, replacing


def save_queried(
    directory: Path,
    pool: str,
    strategy: str,
    seed: int,
    images: NDArray[np.uint8],
    answers: NDArray[np.int64],
    per_answer: int = 8,
) -> Path:
    """Keep the first `per_answer` images of each answer; an earlier file of the same thief is replaced.

    Args:
        directory: the run directory.
        pool: the thief's pool, as the user wrote it.
        strategy: its strategy.
        seed: its seed.
        images: uint8 [N, H, W, C], what was asked.
        answers: int64 [N], the top-1 class that the victim answered to each.
        per_answer: ≥ 1.

    Returns:
        The file, whole.

    Raises:
        DataError: not one answer for each image.
        UsageError: the place cannot be written.
    """
    if len(images) != len(answers):
        raise DataError(f"{len(images)} queried images but {len(answers)} answers")
    firsts = [np.flatnonzero(answers == answer)[:per_answer] for answer in np.unique(answers)]
    kept = np.concatenate(firsts) if firsts else np.zeros(0, np.int64)
    path = directory / "queried" / f"{file_name(pool, strategy, str(seed))}.npz"
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=images[kept],
            answers=np.asarray(answers, np.int64)[kept],
            pool=np.array(pool),
            strategy=np.array(strategy),
            seed=np.array(seed),
        )
    return path


def load_queried(directory: Path) -> list[QueriedImages]:
    """What `save_queried` kept in a run directory, in the order of the files' names; nothing where there is nothing.

    Raises:
        DataError: a file that `save_queried` did not write.
    """
    return [_load(path) for path in sorted((directory / "queried").glob("[!.]*.npz"))]


def _load(path: Path) -> QueriedImages:
    try:
        with np.load(path, allow_pickle=False) as kept:
            images, answers = kept["images"], kept["answers"]
            found = QueriedImages(str(kept["pool"]), str(kept["strategy"]), int(kept["seed"]), images, answers)
    except OSError as error:
        raise DataError(f"cannot read queried images {path}: {error.strerror}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        # numpy's own words would have the user unpickle it.
        raise DataError(f"{path} is no file of queried images", hint="delete it") from error
    if images.dtype != np.uint8 or images.ndim != 4 or answers.shape != images.shape[:1]:
        raise DataError(f"{path} holds {images.dtype} {images.shape} and answers {answers.shape}, no queried images")
    return found
