"""The network that is split: VGG-like stages (Simonyan & Zisserman 2015, section 2), cut after any block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Channels and stride of each block, 3 x 3 convolution, batch norm and ReLU: `victim.models.StackedCNN` with one more
# convolution at the first resolution, so that a split after two blocks leaves the server 16 x H/2 x W/2 numbers.
PLAN: tuple[tuple[int, int], ...] = ((16, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (96, 2), (96, 1))

# Spread over all classes, of each target (Szegedy et al. 2016, section 7).
LABEL_SMOOTHING = 0.1


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also takes one lone number for a channel, which has no spread: by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU: [N, inputs, H, W] to [N, outputs, ceil(H / stride), ceil(W / stride)]."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), BatchNorm(outputs), nn.ReLU())


class ClientNetwork(nn.Sequential):
    """The first `depth` blocks of the plan.

    Args:
        channels: of the prepared input.
        depth: how many blocks stay with the client.
        width: channels of the smashed data; None takes the plan's.
        shrunk: the factor by which the input is smaller than the image already; what it halved no block halves again.
    """

    def __init__(self, channels: int, depth: int, width: int | None = None, shrunk: int = 1) -> None:
        blocks = []
        for number, (planned, stride) in enumerate(PLAN[:depth], start=1):
            outputs = width if width is not None and number == depth else planned
            halved = 1 < stride <= shrunk
            shrunk = shrunk // stride if halved else shrunk
            blocks.append(block(channels, outputs, 1 if halved else stride))
            channels = outputs
        super().__init__(*blocks)


class ServerNetwork(nn.Module):
    """What the plan leaves after `depth` blocks, a mean over the image, and a linear layer.

    Args:
        channels: of the smashed data.
        depth: how many blocks the client has.
        classes: number of logits.
    """

    def __init__(self, channels: int, depth: int, classes: int) -> None:
        super().__init__()
        blocks = []
        for planned, stride in PLAN[depth:]:
            blocks.append(block(channels, planned, stride))
            channels = planned
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, z: Tensor) -> Tensor:
        """Logits [B, classes] of smashed data [B, channels, H', W']."""
        logits: Tensor = self.head(self.blocks(z).mean((2, 3)))
        return logits

    def loss(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss that trains the server, and the one whose gradient dL/dz goes back to the client: here the same.

        Args:
            z: float32 [B, channels, H', W'].
            y: int64 [B].

        Returns:
            two scalars. Where they are one and the same tensor, one backward pass serves both.
        """
        total = functional.cross_entropy(self(z), y, label_smoothing=LABEL_SMOOTHING)
        return total, total


def output_shape(network: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Channels, height, width that a network gives for one input of that shape; it stays as it is."""
    training = network.training
    network.eval()
    with torch.no_grad():
        _, channels, height, width = network(torch.zeros(1, *shape)).shape
    network.train(training)
    return channels, height, width
