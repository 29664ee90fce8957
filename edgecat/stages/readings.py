"""A few patients of a split network, what left the client of them and what attacks read back: for people to look at.

`DIRECTORY/readings/PROTECTION_SEED.npz` holds `originals` (uint8 [N, H, W, C]), `smashed` (uint8 [N, h, w, 1]),
`read_ATTACK` (uint8 [M, H, W, C]), and protection and seed as they are.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Readings
from foundation.errors import DataError
from foundation.files import file_name, replacing

if TYPE_CHECKING:
    from defense.evaluation import Evaluation

KEPT = 6
_READ = "read_"


def readings_of(evaluation: Evaluation, protection: str, seed: int) -> Readings:
    """The first few victims of an evaluation, as pictures."""
    read = {
        name: np.ascontiguousarray((found.images[:KEPT] * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
        for name, found in evaluation.read.items()
    }
    return Readings(protection, seed, evaluation.victims[:KEPT], _mosaic(evaluation.smashed[:KEPT]), read)


def save_readings(directory: Path, readings: Readings) -> Path:
    """Write them, whole; an earlier file of the same network is replaced.

    Raises:
        UsageError: the place cannot be written.
    """
    path = directory / "readings" / f"{file_name(readings.protection, str(readings.seed))}.npz"
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            originals=readings.originals,
            smashed=readings.smashed,
            protection=np.array(readings.protection),
            seed=np.array(readings.seed),
            **{_READ + name: images for name, images in readings.read.items()},  # type: ignore[arg-type]
        )
    return path


def load_readings(directory: Path) -> list[Readings]:
    """What `save_readings` kept in a directory, in the order of the files' names.

    Raises:
        DataError: a file that it did not write.
    """
    return [_load(path) for path in sorted((directory / "readings").glob("[!.]*.npz"))]


def _load(path: Path) -> Readings:
    try:
        with np.load(path, allow_pickle=False) as kept:
            read = {name.removeprefix(_READ): kept[name] for name in kept.files if name.startswith(_READ)}
            return Readings(str(kept["protection"]), int(kept["seed"]), kept["originals"], kept["smashed"], read)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no readings", hint="delete it") from error


def _mosaic(smashed: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Channels float32 [N, C, h, w] side by side in a square, each stretched over its own range: uint8 [N, H, W, 1]."""
    count, channels, height, width = smashed.shape
    low, high = (find(smashed, axis=(2, 3), keepdims=True) for find in (np.min, np.max))
    grey = ((smashed - low) / np.maximum(high - low, 1e-9) * 255).round().astype(np.uint8)
    side = int(np.ceil(np.sqrt(channels)))
    tiles = np.zeros((count, side * side, height, width), np.uint8)
    tiles[:, :channels] = grey
    rows = tiles.reshape(count, side, side, height, width).transpose(0, 1, 3, 2, 4)
    return rows.reshape(count, side * height, side * width, 1)
