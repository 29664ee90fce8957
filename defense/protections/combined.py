"""Several protections at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defense.split.protection import Protection
from defense.split.state import prefixed, under
from foundation.errors import UsageError

if TYPE_CHECKING:
    from defense.split.model import SplitModel


class Combined(Protection):
    """Does what each of its parts does, in their order; penalties add up.

    Args:
        parts: two or more; at most one prepares images or brings a server of its own.

    Raises:
        UsageError: fewer than two parts, or two that prepare images.
    """

    def __init__(self, parts: Sequence[Protection]) -> None:
        preparing = [part for part in parts if _changes(part, "prepare") or _changes(part, "server")]
        if len(parts) < 2 or len(preparing) > 1:
            names = ", ".join(part.name for part in parts)
            raise UsageError(
                f"cannot combine {names or 'nothing'}", hint="at most one may prepare images, as psgl does"
            )
        self.parts = tuple(parts)
        self.name = "+".join(part.name for part in parts)
        self.randomised = any(part.randomised for part in parts)
        self._first = preparing[0] if preparing else Protection()

    def channels(self, image_channels: int) -> int:
        """See `Protection.channels`."""
        return self._first.channels(image_channels)

    def shrinks(self) -> int:
        """See `Protection.shrinks`."""
        return self._first.shrinks()

    def prepare(self, x: Tensor, y: Tensor | None, model: SplitModel) -> Tensor:
        """See `Protection.prepare`."""
        return self._first.prepare(x, y, model)

    def on_device(self) -> nn.Module:
        """See `Protection.on_device`."""
        return self._first.on_device()

    def release(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Released by one after the other."""
        for part in self.parts:
            z = part.release(z, generator)
        return z

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """The sum."""
        return torch.stack([part.penalty(x, z) for part in self.parts]).sum()

    def learn(self, x: Tensor, z: Tensor) -> None:
        """Each learns."""
        for part in self.parts:
            part.learn(x, z)

    def gradients(self, parameters: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        """Changed by one after the other."""
        held = list(parameters)
        for part in self.parts:
            part.gradients(held, generator)

    def server(self, z_shape: tuple[int, int, int], depth: int, classes: int) -> nn.Module:
        """See `Protection.server`."""
        return self._first.server(z_shape, depth, classes)

    def state(self) -> dict[str, Tensor]:
        """Each part's, by its place."""
        return {
            name: tensor
            for place, part in enumerate(self.parts)
            for name, tensor in prefixed(str(place), part.state()).items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for place, part in enumerate(self.parts):
            part.load_state(under(str(place), state))


def _changes(part: Protection, method: str) -> bool:
    return getattr(type(part), method) is not getattr(Protection, method)
