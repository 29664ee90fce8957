"""The registered watermark: images whose answers were altered in a session, kept by the owner."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import replacing


@dataclass(frozen=True)
class WatermarkSet:
    """What was altered.

    Attributes:
        images: uint8 [N, H, W, C], each once.
        answered: int64 [N], what the thief was told.
        true: int64 [N], what the victim had said.
        classes: how many classes the victim knows.
        rate: of the watermark.
        victim: identity of the oracle.
        key: fingerprint of the key, not the key.
    """

    images: NDArray[np.uint8]
    answered: NDArray[np.int64]
    true: NDArray[np.int64]
    classes: int
    rate: float
    victim: str
    key: str

    def __len__(self) -> int:
        return len(self.images)

    def save(self, path: Path) -> None:
        """Write an `.npz`, whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                images=self.images,
                answered=self.answered,
                true=self.true,
                classes=np.array(self.classes),
                rate=np.array(self.rate),
                victim=np.array(self.victim),
                key=np.array(self.key),
            )


def load_set(path: Path) -> WatermarkSet:
    """Read what `WatermarkSet.save` wrote.

    Raises:
        DataError: it is not there, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = WatermarkSet(
                kept["images"],
                kept["answered"],
                kept["true"],
                int(kept["classes"]),
                float(kept["rate"]),
                str(kept["victim"]),
                str(kept["key"]),
            )
    except OSError as error:
        raise DataError(f"cannot read watermark set {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        # numpy's own words would have the user unpickle it.
        raise DataError(f"{path} is no watermark set") from error
    count = found.images.shape[:1]
    if (
        found.images.dtype != np.uint8
        or found.images.ndim != 4
        or not found.answered.shape == found.true.shape == count
    ):
        raise DataError(f"{path} is no watermark set: {found.images.dtype} {found.images.shape}")
    return found
