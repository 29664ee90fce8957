"""A generator of images from noise."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

# Each layer doubles the sides of the image.
WIDTHS = (128, 64, 32, 16)


class Generator(nn.Module):
    """Transposed convolutions from noise to images (Radford et al. 2016, "DCGAN", section 3).

    The last layer is normalised, without parameters, and squashed by tanh as in DisGUIDE: images have contrast from the
    first on. Statistics are always those of the batch, so its size is a part of what is generated.

    Args:
        noise: numbers that an image is made from.
        shape: height, width, channels.
        generator: the source of the initial weights.
    """

    def __init__(self, noise: int, shape: tuple[int, int, int], generator: torch.Generator) -> None:
        super().__init__()
        self.height, self.width, channels = shape
        coarse = 2 ** len(WIDTHS)
        self.start = (WIDTHS[0], math.ceil(self.height / coarse), math.ceil(self.width / coarse))
        # Made without memory first: a layer that has it would draw from torch's one global source of chance.
        with torch.device("meta"):
            self.first = nn.Linear(noise, math.prod(self.start), bias=False)
            self.norm = _normalised(WIDTHS[0])
            blocks = [_doubled(*pair) for pair in pairwise(WIDTHS)]
            self.blocks = nn.Sequential(*(layer for block in blocks for layer in block))
            self.last = nn.Sequential(_upsampling(WIDTHS[-1], channels), _normalised(channels, affine=False))
        self.to_empty(device="cpu").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def forward(self, noise: Tensor) -> Tensor:
        """Map [N, noise] to [N, C, H, W] in [0, 1]."""
        coarse = self.first(noise).view(-1, *self.start).contiguous(memory_format=torch.channels_last)
        images = self.last(self.blocks(torch.relu(self.norm(coarse))))
        shown: Tensor = (torch.tanh(images[:, :, : self.height, : self.width].float()) + 1) / 2
        return shown


def _upsampling(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


def _normalised(channels: int, *, affine: bool = True) -> nn.Module:
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)


def _doubled(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return _upsampling(inputs, outputs), _normalised(outputs), nn.ReLU()
