"""What a client of split learning may do so that what leaves it tells less of its images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defense.split.network import ServerNetwork

if TYPE_CHECKING:
    from defense.split.model import SplitModel


class Protection:
    """Does nothing: plain split learning. Others override what they change.

    Attributes:
        name: as the registry and tables have it, arguments included (`noise:0.5`).
        randomised: whether `release` draws noise; a device that answers through the runner cannot.
        depth: blocks that stay with the client where nobody asks for another cut; see `build_split`.
        width: channels of the smashed data, likewise.
    """

    name: str = "none"
    randomised: bool = False
    depth: int = 2
    width: int | None = None

    def channels(self, image_channels: int) -> int:
        """Channels of what `prepare` gives, of the image's."""
        return image_channels

    def shrinks(self) -> int:
        """The factor by which `prepare` makes height and width smaller; odd sizes round up."""
        return 1

    def prepare(self, x: Tensor, y: Tensor | None, model: SplitModel) -> Tensor:
        """The client network's input.

        Whoever asks the whole network on the way asks `model.judge`: in two processes the server's part of it is asked
        over the channel. Called under `no_grad` too, so gradients want `torch.enable_grad()`; never in inference mode.

        Args:
            x: float32 [B, C, H, W] in [0, 1].
            y: int64 [B], true classes; None at inference.
            model: what is being trained.

        Returns:
            float32 [B, channels(C), ceil(H / shrinks), ceil(W / shrinks)].
        """
        return x

    def on_device(self) -> nn.Module:
        """`prepare` for a device, which has neither gradients nor labels: a module that both runtimes can take."""
        return nn.Identity()

    def release(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Smashed data as they leave the client; differentiable. Takes and gives float32 [B, C', H', W']."""
        return z

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """A scalar added to the client's loss, differentiable in `z`.

        Args:
            x: float32 [B, C, H, W] in [0, 1], the images behind `z`.
            z: float32 [B, C', H', W'], before `release`.
        """
        return z.new_zeros(())

    def learn(self, x: Tensor, z: Tensor) -> None:
        """A step of the protection's own networks (a decoder in the loop), after the client's; `z` is detached."""

    def gradients(self, parameters: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        """Change the client's gradients in place before they are used, or shared for averaging (clipping, noise)."""

    def server(self, z_shape: tuple[int, int, int], depth: int, classes: int) -> nn.Module:
        """The server's network for smashed data of that shape (channels, height, width).

        It gives logits [B, classes], and `loss(z, y)` as `ServerNetwork.loss` does.
        """
        return ServerNetwork(z_shape[0], depth, classes)

    def state(self) -> dict[str, Tensor]:
        """What must be saved so that training can go on: own networks, their optimisers. Names hold no `/`."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave; before the first `learn` too."""
