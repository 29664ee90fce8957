"""Images that an exporter works with."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

_T = TypeVar("_T")


class Shared:
    """What several recipes of one network begin with: made by the first, taken by the others."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What `make` gives, or gave when it was last asked for under this key."""
        if key not in self._made:
            self._made[key] = make()
        found: _T = self._made[key]
        return found


@dataclass(frozen=True)
class Material:
    """Images as a network takes them, float32 in [0, 1].

    Attributes:
        sample: one image [1, ...]: the shape that is traced.
        calibration: [N, ...], which set the ranges of activations; none where there are none to set.
        state: file in which a calibration stands while it runs.
    """

    sample: Tensor
    calibration: Tensor
    state: Path | None = None

    @classmethod
    def of(cls, images: Tensor, calibration: int, state: Path | None = None) -> Material:
        """Training images float32 [N, C, H, W], of which the first `calibration` set ranges."""
        # Not `contiguous()`: it leaves one-channel images in NHWC order, and the order of the sample is traced in.
        plain = images[: max(calibration, 1)].clone(memory_format=torch.contiguous_format)
        return cls(plain[:1], plain[:calibration], state)

    def transformed(self, change: Callable[[Tensor], Tensor]) -> Material:
        """The same images in another layout."""
        return Material(change(self.sample), change(self.calibration), self.state)
