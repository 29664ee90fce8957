"""Several protections as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defense.split.protection import Protection
from defense.split.state import prefixed, under
from foundation.errors import UsageError

if TYPE_CHECKING:
    from defense.split.model import SplitModel


class Combined(Protection):
    """Parts that act in the order given; at most one may prepare images its own way, or bring a server.

    Raises:
        UsageError: more than one does.
    """

    def __init__(self, parts: tuple[Protection, ...]) -> None:
        self.parts = parts
        self.name = "+".join(part.name for part in parts)
        self.randomised = any(part.randomised for part in parts)
        deepest = max(parts, key=lambda part: part.depth)
        self.depth, self.width = deepest.depth, deepest.width
        preparing, serving = _overriding(parts, "prepare"), _overriding(parts, "server")
        if len(preparing) > 1 or len(serving) > 1:
            raise UsageError(f"{self.name}: only one of them can prepare the images", hint="combine it with others")
        self._preparing = preparing[0] if preparing else Protection()
        self._serving = serving[0] if serving else Protection()

    def channels(self, image_channels: int) -> int:
        """See `Protection.channels`."""
        return self._preparing.channels(image_channels)

    def shrinks(self) -> int:
        """See `Protection.shrinks`."""
        return self._preparing.shrinks()

    def prepare(self, x: Tensor, y: Tensor | None, model: SplitModel) -> Tensor:
        """See `Protection.prepare`."""
        return self._preparing.prepare(x, y, model)

    def on_device(self) -> nn.Module:
        """See `Protection.on_device`."""
        return self._preparing.on_device()

    def release(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Every part's, one after the other."""
        for part in self.parts:
            z = part.release(z, generator)
        return z

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """The sum of all parts'."""
        return torch.stack([part.penalty(x, z) for part in self.parts]).sum()

    def learn(self, x: Tensor, z: Tensor) -> None:
        """Every part learns."""
        for part in self.parts:
            part.learn(x, z)

    def gradients(self, parameters: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        """Every part's change, one after the other."""
        changed = list(parameters)
        for part in self.parts:
            part.gradients(changed, generator)

    def server(self, z_shape: tuple[int, int, int], depth: int, classes: int) -> nn.Module:
        """See `Protection.server`."""
        return self._serving.server(z_shape, depth, classes)

    def state(self) -> dict[str, Tensor]:
        """Every part's, numbered."""
        return {k: v for number, part in enumerate(self.parts) for k, v in prefixed(str(number), part.state()).items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for number, part in enumerate(self.parts):
            part.load_state(under(str(number), state))


def _overriding(parts: tuple[Protection, ...], method: str) -> list[Protection]:
    plain = getattr(Protection, method)
    return [part for part in parts if getattr(type(part), method) is not plain]
