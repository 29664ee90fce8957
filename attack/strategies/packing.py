"""Arrays in a note."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(**arrays: NDArray[np.generic]) -> bytes:
    """Arrays by name as one compressed `.npz`."""
    packed = io.BytesIO()
    # Numpy's stub takes the names for its own flags.
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    return packed.getvalue()


def unpack(packed: bytes) -> dict[str, NDArray[Any]]:
    """What `pack` was given."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return dict(arrays)
