"""`edgecat defend watermark verify`: judge a checkpoint by the registered watermark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from defense.ownership.registry import WatermarkSet, load_set
from defense.ownership.verification import Verification, verify
from foundation.errors import DataError
from victim.checkpoint import load
from victim.training import predict


def judge(key: bytes, registered: Path, suspect: Path, innocent: Path | None = None) -> Verification:
    """Ask a suspect checkpoint, and an innocent one if there is, about the registered images.

    Args:
        key: the owner's.
        registered: a file that `WatermarkSet.save` wrote.
        suspect: a checkpoint of ours.
        innocent: another, trained without the victim.

    Raises:
        ArtifactError: a checkpoint that cannot be read.
        DataError: the set is torn, of another key, or of other images or classes than a checkpoint takes.
    """
    marked = load_set(registered)
    if not len(marked):
        raise DataError(f"watermark set {registered} is empty", hint="none of the answers was altered: ask more")
    own = None if innocent is None else _labels(innocent, marked)
    return verify(_labels(suspect, marked), marked, key, own)


def _labels(path: Path, marked: WatermarkSet) -> NDArray[np.int64]:
    checkpoint = load(path)
    header = checkpoint.header
    if tuple(header.image_shape) != marked.images.shape[1:] or len(header.class_names) != marked.classes:
        raise DataError(
            f"{path} takes images {tuple(header.image_shape)} of {len(header.class_names)} classes, the watermark set "
            f"is of {marked.images.shape[1:]} and {marked.classes}"
        )
    return np.asarray(predict(checkpoint.network, marked.images).argmax(1), np.int64)
