"""A network in two halves, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defense.split.network import PLAN, ClientNetwork, output_shape
from defense.split.protection import Protection
from foundation.errors import UsageError


@dataclass
class SplitModel:
    """Client, server, and the client's protection.

    Attributes:
        client: prepared input to z, float32 [B, C', H', W'].
        server: z to logits [B, classes], with `loss(z, y)`; see `Protection.server`.
        protection: what the client does with its images, its smashed data and its gradients.
    """

    client: nn.Module
    server: nn.Module
    protection: Protection

    def smashed(self, x: Tensor, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Exactly what leaves the client for images: prepared, through its network, released.

        Args:
            x: float32 [B, C, H, W] in [0, 1].
            y: int64 [B] in training; None at inference.
            generator: of the protection's noise; None draws the same noise at every call.
        """
        z = self.client(self.protection.prepare(x, y, self))
        return self.protection.release(z, generator or torch.Generator().manual_seed(0))

    def logits(self, x: Tensor, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Logits [B, classes] of images; arguments as in `smashed`."""
        logits: Tensor = self.server(self.smashed(x, y, generator))
        return logits

    def judge(self, prepared: Tensor) -> Tensor:
        """Logits [B, classes] of prepared input, in evaluation mode, differentiable with respect to it.

        What a protection asks of the whole network while it prepares. No running statistic changes.
        """
        with self.evaluating():
            logits: Tensor = self.server(self.client(prepared))
        return logits

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Both halves in evaluation mode for a `with` block."""
        before = self.client.training, self.server.training
        self.eval()
        try:
            yield
        finally:
            self.client.train(before[0])
            self.server.train(before[1])

    def train(self) -> SplitModel:
        """Both halves in training mode."""
        self.client.train()
        self.server.train()
        return self

    def eval(self) -> SplitModel:
        """Both halves in evaluation mode."""
        self.client.eval()
        self.server.eval()
        return self


def build_split(
    image_shape: tuple[int, int, int],
    classes: int,
    protection: Protection,
    generator: torch.Generator,
    *,
    depth: int = 2,
    width: int | None = None,
) -> SplitModel:
    """Two untrained halves.

    Args:
        image_shape: height, width, channels.
        classes: number of logits.
        protection: decides the client's input, and may bring a server of its own.
        generator: its seed fixes the initial weights, each half's on its own, so that each process makes its own.
        depth: how many of `PLAN`'s blocks the client has. Two: z is 16 x H/2 x W/2.
        width: channels of z; None takes the plan's.

    Raises:
        UsageError: no such depth or width.
    """
    seed = generator.initial_seed()
    client = build_client(image_shape, protection, seed, depth, width)
    server = build_server(z_shape(client, image_shape, protection), classes, protection, seed, depth)
    return SplitModel(client, server, protection)


def build_client(
    image_shape: tuple[int, int, int], protection: Protection, seed: int, depth: int, width: int | None
) -> ClientNetwork:
    """The client's half alone; see `build_split`."""
    if not 1 <= depth < len(PLAN):
        raise UsageError(f"a client of {depth} blocks", hint=f"give it 1 to {len(PLAN) - 1}")
    if width is not None and width < 1:
        raise UsageError(f"smashed data of {width} channels", hint="give it 1 or more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ClientNetwork(protection.channels(image_shape[2]), depth, width, protection.shrinks())


def build_server(shape: tuple[int, int, int], classes: int, protection: Protection, seed: int, depth: int) -> nn.Module:
    """The server's half alone, for smashed data of that shape (channels, height, width); see `build_split`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed ^ 0x5E4E4)
        return protection.server(shape, depth, classes)


def z_shape(client: nn.Module, image_shape: tuple[int, int, int], protection: Protection) -> tuple[int, int, int]:
    """Channels, height and width of smashed data for images of that shape (height, width, channels)."""
    height, width, channels = image_shape
    shrinks = protection.shrinks()
    return output_shape(client, (protection.channels(channels), -(-height // shrinks), -(-width // shrinks)))
